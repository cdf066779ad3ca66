import {removeBand, setPolicy, splitBand, startsOf} from '../state/bands.js';
import {policyChoices, policyGroups} from '../state/policy_choices.js';
import {bandLetter} from './band_letter.js';
import type {PartProps} from './props.js';
import {useDraft} from './use_draft.js';

/** One band: its depths, its policy from a list or as text, and what can be done with it. */
export function BandRow({index, playground, state}: PartProps & {readonly index: number}) {
  const {bands} = state.settings;
  const {policy, depths} = bands[index]!;
  const start = startsOf(bands)[index]!;
  const letter = bandLetter(index);
  const refusal = state.refused?.band === index ? state.refused.failure.message : undefined;
  const [text, setDraft] = useDraft(policy);
  const isListed = policyChoices.some(choice => choice.policy === policy);
  const choose = (chosen: string) => {
    if (chosen !== '' && chosen !== policy) playground.changeBands(setPolicy(bands, index, chosen));
  };
  return (
    <li class={index % 2 === 0 ? 'band' : 'band odd'}>
      <div class="band-head">
        <span class="letter" aria-hidden="true">
          {letter}
        </span>
        <span class="muted small">
          {depths === 1 ? `depth ${start}` : `depths ${start} to ${start + depths - 1}`}
        </span>
        <span class="band-tools">
          <button
            type="button"
            class="quiet"
            disabled={depths < 2}
            aria-label={`Split band ${letter}`}
            onClick={() => playground.changeBands(splitBand(bands, index))}
          >
            Split
          </button>
          <button
            type="button"
            class="quiet"
            disabled={bands.length < 2}
            aria-label={`Remove band ${letter}`}
            onClick={() => playground.changeBands(removeBand(bands, index))}
          >
            Remove
          </button>
        </span>
      </div>
      <select
        aria-label={`Policy of band ${letter}`}
        value={isListed ? policy : ''}
        onChange={({currentTarget}) => choose(currentTarget.value)}
      >
        {!isListed && <option value="">as written below</option>}
        {policyGroups.map(({title, choices}) => (
          <optgroup key={title} label={title}>
            {choices.map(choice => (
              <option key={choice.policy} value={choice.policy}>
                {choice.title}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <input
        class="policy"
        type="text"
        spellcheck={false}
        autocomplete="off"
        aria-label={`Policy of band ${letter} as text`}
        aria-invalid={refusal !== undefined}
        {...(refusal !== undefined && {'aria-describedby': `refusal-${index}`})}
        value={text}
        onInput={({currentTarget}) => setDraft(currentTarget.value)}
        onChange={() => {
          setDraft(undefined);
          choose(text.trim());
        }}
        onBlur={() => setDraft(undefined)}
      />
      {refusal !== undefined && (
        <p class="refusal small" id={`refusal-${index}`} role="alert">
          {refusal}
        </p>
      )}
    </li>
  );
}
