import {type NumberName, isInRange, ranges} from '../state/settings.js';
import type {PartProps} from './props.js';
import {useDraft} from './use_draft.js';

/** The prompt, how it is continued, and the buttons that start and stop. */
export function PromptForm({playground, state}: PartProps) {
  const {settings, running, model, refused} = state;
  const cannotRun = model === undefined || running?.task === 'load' || refused !== undefined;
  return (
    <form
      class="prompt"
      onSubmit={event => {
        event.preventDefault();
        playground.generate();
      }}
      onKeyDown={event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) playground.generate();
      }}
    >
      <label class="field wide">
        <span>Prompt</span>
        <textarea
          rows={5}
          value={settings.prompt}
          onInput={({currentTarget}) => playground.change({prompt: currentTarget.value}, {runs: false})}
        />
      </label>
      <div class="fields">
        <NumberField name="tokens" label="Tokens to write" playground={playground} state={state} />
        <NumberField name="temperature" label="Temperature" playground={playground} state={state} />
        <NumberField name="seed" label="Seed" playground={playground} state={state} />
        <label class="check">
          <input
            type="checkbox"
            checked={settings.live}
            onChange={({currentTarget}) => playground.change({live: currentTarget.checked})}
          />
          <span>Run after each change</span>
        </label>
        <span class="actions">
          <button type="submit" class="primary" disabled={cannotRun}>
            Generate
          </button>
          <button
            type="button"
            disabled={running === undefined || running.task === 'load'}
            onClick={() => playground.stop()}
          >
            Stop
          </button>
        </span>
      </div>
    </form>
  );
}

/** A number that takes effect as soon as it is allowed. */
function NumberField({
  name,
  label,
  playground,
  state,
}: PartProps & {readonly name: NumberName; readonly label: string}) {
  const {least, most, whole} = ranges[name];
  const [text, setDraft] = useDraft(String(state.settings[name]));
  return (
    <label class="field number">
      <span>{label}</span>
      <input
        type="number"
        min={least}
        max={most}
        step={whole ? 1 : 0.1}
        value={text}
        onInput={({currentTarget: {value, valueAsNumber}}) => {
          setDraft(value);
          if (isInRange(name, valueAsNumber)) playground.change({[name]: valueAsNumber});
        }}
        onBlur={() => setDraft(undefined)}
      />
    </label>
  );
}
