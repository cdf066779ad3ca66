import * as v from 'valibot';
import {FormatError} from '../../base/errors.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {atLeast, optionValue} from '../../base/options.js';
import {encodingLayoutSchema} from './encoding_layout.js';

// What a snapshot says in JSON; its tensors lie beside it. Everything is checked before it is believed.

/** Positions are exact in float32 up to here. */
const maxTokens = 2 ** 24;
const count = v.pipe(atLeast(0), v.maxValue(maxTokens, `expected at most ${maxTokens}`));
const finite = v.pipe(v.number(), v.finite());

const rope = v.strictObject({
  theta: v.exactOptional(finite),
  rotaryDim: v.exactOptional(atLeast(2)),
  interleaved: v.exactOptional(v.boolean()),
  scaling: v.exactOptional(
    v.variant('type', [
      v.strictObject({type: v.literal('linear'), factor: finite}),
      v.strictObject({
        type: v.literal('dynamic'),
        factor: finite,
        maxPositions: finite,
        originalMaxPositions: finite,
      }),
      v.strictObject({
        type: v.literal('llama3'),
        factor: finite,
        lowFreqFactor: finite,
        highFreqFactor: finite,
        originalMaxPositions: finite,
      }),
      v.strictObject({
        type: v.literal('yarn'),
        factor: finite,
        originalMaxPositions: finite,
        betaFast: v.exactOptional(finite),
        betaSlow: v.exactOptional(finite),
        attentionFactor: v.exactOptional(finite),
      }),
      v.strictObject({type: v.literal('divisors'), divisors: v.pipe(v.array(finite), v.readonly())}),
    ]),
  ),
});

const segment = v.strictObject({
  tokens: count,
  /** The first of a run without gaps; null where a tensor names the position of each token of each head. */
  positions: v.nullable(count),
  keys: encodingLayoutSchema,
  values: encodingLayoutSchema,
  /** Tokens that have a score, where the policy observes. */
  scores: v.exactOptional(count),
});

const depth = v.strictObject({
  batch: atLeast(1),
  tokensSeen: count,
  events: v.strictObject({blocksEncoded: atLeast(0), svdUpdates: atLeast(0), evictedTokens: atLeast(0)}),
  /** Factor of the scores. */
  scale: finite,
  /** How stored keys are rotated, where they are. */
  rope: v.exactOptional(rope),
  held: v.array(v.tuple([v.string(), segment])),
  recent: segment,
  /** Names, dtypes and shapes of the tensors that the policy carries beside its tokens. */
  extras: v.array(
    v.strictObject({name: v.string(), dtype: v.picklist(['float32', 'int32']), shape: v.array(atLeast(0))}),
  ),
});

const row = v.strictObject({
  heads: atLeast(1),
  kvHeads: atLeast(1),
  dim: atLeast(1),
  dimV: atLeast(1),
  headDim: v.exactOptional(atLeast(1)),
});

const schema = v.strictObject({
  rows: v.array(row),
  policies: v.array(v.strictObject({name: v.string(), options: v.record(v.string(), optionValue)})),
  expectedTokens: v.exactOptional(atLeast(0)),
  beyondContext: v.boolean(),
  /** Null where no token came in. */
  depths: v.array(v.nullable(depth)),
});

export type Description = v.InferOutput<typeof schema>;
export type DepthDescription = v.InferOutput<typeof depth>;
export type SegmentDescription = v.InferOutput<typeof segment>;

/** @throws FormatError where the JSON of a snapshot is not what `writeSnapshot` makes. */
export function parseDescription(text: string): Description {
  const result = v.safeParse(schema, parseJsonText(text, 'What this snapshot says of its cache'), {
    abortEarly: true,
  });
  if (!result.success) {
    const [issue] = result.issues;
    throw damaged(`"${v.getDotPath(issue) ?? ''}" is wrong: ${issue.message}`);
  }
  const {rows, policies, depths} = result.output;
  if (policies.length !== rows.length || depths.length !== rows.length) {
    throw damaged(`it has ${rows.length} depths, ${policies.length} policies and ${depths.length} pasts`);
  }
  return result.output;
}

export function damaged(what: string): FormatError {
  return new FormatError(`This snapshot cannot be of a cache: ${what}. Save the cache again.`);
}
