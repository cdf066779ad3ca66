import type {PartProps} from './props.js';

/** What went wrong, and what a person should know. Read out as it comes. */
export function Notes({playground, state: {failure, notes}}: PartProps) {
  const isEmpty = failure === undefined && notes.length === 0;
  return (
    <div class="notes" role="alert" data-testid="notes">
      {failure && (
        <p class="note failure">
          <strong>{failure.name}.</strong> {failure.message}
        </p>
      )}
      {notes.map(note => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
      {!isEmpty && (
        <button type="button" class="quiet" onClick={() => playground.forgetNotes()}>
          Dismiss
        </button>
      )}
    </div>
  );
}
