import {useState} from 'preact/hooks';
import {byteSize, short} from '../../base/units.js';
import type {Continuation, Generation} from '../engine/protocol.js';
import type {PageState} from '../state/page_state.js';
import {againstFloat32} from './against_float32.js';
import {depthThatLostMost, shareHeld} from './held_share.js';
import {SizeChart} from './size_chart.js';
import {TokenText} from './token_text.js';

/** Both continuations side by side, with what each costs. */
export function Comparison({state}: {readonly state: PageState}) {
  const {generation, settings, running, model} = state;
  const [chosen, setChosen] = useState<number | 'all' | undefined>(undefined);
  if (generation === undefined || model === undefined) {
    return (
      <p class="empty muted">{running ? 'The first tokens are on their way.' : 'Nothing was written yet.'}</p>
    );
  }
  const {full, plan, depths} = generation;
  const float32Bytes = depths.reduce((sum, each) => sum + each.float32Bytes, 0);
  const against = againstFloat32(plan.bytes.at(-1) ?? NaN, float32Bytes);
  const isOld = generation.bands !== settings.bands;
  const wanted = chosen ?? depthThatLostMost(generation) ?? 'all';
  const depth = wanted === 'all' || wanted >= model.depths ? undefined : wanted;
  return (
    <div class={isOld ? 'comparison old' : 'comparison'}>
      <p class="parting" aria-live="polite" data-testid="parting">
        {partingText(generation, running?.task === 'generate')}
        <span class="muted small">
          {' '}
          {isOld ? 'Of the former plan.' : 'Both draw with the same random numbers.'}
        </span>
      </p>
      <div class="columns">
        <article aria-label="Full cache">
          <h3>Full cache</h3>
          <Costs side={full} baseline="float32, the baseline" testId="full" />
          <p class="text" lang="" data-testid="full-text">
            <TokenText prompt={generation.prompt} written={full.written} partsAt={generation.partsAt} />
          </p>
        </article>
        <article aria-label="Your plan">
          <h3>Your plan</h3>
          <Costs side={plan} baseline={`${against.times} ${against.rest}`} testId="plan" />
          <p class="text" lang="" data-testid="plan-text">
            <TokenText
              prompt={generation.prompt}
              written={plan.written}
              partsAt={generation.partsAt}
              share={shareHeld(generation, model.kvHeads, depth)}
            />
          </p>
          <Legend depths={model.depths} depth={depth} onDepth={setChosen} />
        </article>
      </div>
      <SizeChart full={full.bytes} plan={plan.bytes} promptTokens={generation.prompt.length} />
    </div>
  );
}

function Costs({
  side,
  baseline,
  testId,
}: {
  readonly side: Continuation;
  readonly baseline: string;
  readonly testId: string;
}) {
  return (
    <dl class="costs">
      <div>
        <dt>Cache</dt>
        <dd>
          <strong data-testid={`${testId}-bytes`}>{byteSize(side.bytes.at(-1) ?? 0)}</strong>
          <span class="muted small">{baseline}</span>
        </dd>
      </div>
      <div>
        <dt>Speed</dt>
        <dd>
          <strong data-testid={`${testId}-speed`}>
            {side.tokensPerSecond > 0 ? short(side.tokensPerSecond) : '-'}
          </strong>
          <span class="muted small">tokens/s while writing</span>
        </dd>
      </div>
    </dl>
  );
}

interface LegendProps {
  readonly depths: number;
  readonly depth: number | undefined;
  readonly onDepth: (depth: number | 'all') => void;
}

/** How to read the text of an evicting plan, and for which depth. */
function Legend({depths, depth, onDepth}: LegendProps) {
  return (
    <p class="legend small">
      Tokens that the cache <span class="held-4">holds</span>, <span class="held-1">holds in some heads</span>
      , <span class="held-0">has evicted</span>, at{' '}
      <label>
        <select
          aria-label="Depth whose evicted tokens are shown"
          value={depth ?? 'all'}
          onChange={({currentTarget: {value}}) => onDepth(value === 'all' ? value : Number(value))}
        >
          <option value="all">all depths together</option>
          {Array.from({length: depths}, (_, index) => (
            <option key={index} value={index}>
              depth {index}
            </option>
          ))}
        </select>
      </label>
    </p>
  );
}

function partingText({partsAt, full, plan}: Generation, isRunning: boolean): string {
  if (partsAt === 0) return 'The two part at the first token.';
  if (partsAt !== undefined) return `The two write the same ${tokensText(partsAt)}, then they part.`;
  const same = tokensText(Math.min(full.written.length, plan.written.length));
  return isRunning ? `The same ${same} so far.` : `Both write the same ${same}.`;
}

const tokensText = (tokens: number) => (tokens === 1 ? 'token' : `${tokens} tokens`);
