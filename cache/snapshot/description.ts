import * as v from 'valibot';
import {FormatError} from '../../base/errors.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {atLeast, optionValue, positiveNumber} from '../../base/options.js';
import {ropeSchema} from '../../ops/rotate/rope_schema.js';
import {encodingLayoutSchema} from './encoding_layout.js';

// The JSON of a snapshot, which describes its tensors. Everything is checked before it is used.

/** Positions are exact in float32 up to here. */
const maxTokens = 2 ** 24;
const count = v.pipe(atLeast(0), v.maxValue(maxTokens, `expected at most ${maxTokens}`));
const finite = v.pipe(v.number(), v.finite());

const segment = v.strictObject({
  tokens: count,
  /** The first position of a run without gaps; null if a tensor holds the position of each token of each head. */
  positions: v.nullable(count),
  keys: encodingLayoutSchema,
  values: encodingLayoutSchema,
  /** Tokens that have a score, if the keeper observes attention. */
  scores: v.exactOptional(count),
  /** Whether its tokens have biases. */
  biased: v.exactOptional(v.literal(true)),
});

const depth = v.strictObject({
  batch: atLeast(1),
  tokensSeen: count,
  events: v.strictObject({blocksEncoded: atLeast(0), svdUpdates: atLeast(0), evictedTokens: atLeast(0)}),
  /** Factor of the attention scores. */
  scale: finite,
  /** What else makes scores: see `ScoringOptions`. Absent if it is the default. */
  window: v.exactOptional(atLeast(1)),
  softCap: v.exactOptional(positiveNumber),
  alibi: v.exactOptional(v.literal(true)),
  /** The number of distances of the table of relative biases; absent without one. */
  relativeBias: v.exactOptional(atLeast(1)),
  /** How stored keys are rotated; absent if they are not. */
  rope: v.exactOptional(ropeSchema),
  held: v.array(v.tuple([v.string(), segment])),
  recent: segment,
  /** The newest queries, if the keeper asks for any: how many, and their size. */
  queries: v.exactOptional(v.strictObject({tokens: v.pipe(count, v.minValue(1)), dim: atLeast(1)})),
  /** The block that waits for the codec's decision, and the shapes of the numbers that decide; absent if none does. */
  undecided: v.exactOptional(
    v.strictObject({from: v.nullable(count), tokens: atLeast(1), shapes: v.array(v.array(atLeast(1)))}),
  ),
  /** Names, dtypes and shapes of the tensors that the codec keeps besides the tokens. */
  extras: v.array(
    v.strictObject({name: v.string(), dtype: v.picklist(['float32', 'int32']), shape: v.array(atLeast(0))}),
  ),
});

const shape = v.strictObject({
  heads: atLeast(1),
  kvHeads: atLeast(1),
  dim: atLeast(1),
  dimV: atLeast(1),
  headDim: v.exactOptional(atLeast(1)),
});

const schema = v.strictObject({
  rows: v.array(shape), // layer shapes; the key is part of the file format
  policies: v.array(v.strictObject({name: v.string(), options: v.record(v.string(), optionValue)})),
  /** By depth: `PairCodec.tables`, null if there is none. Absent if no depth has any. */
  tables: v.exactOptional(v.array(v.nullable(v.string()))),
  expectedTokens: v.exactOptional(atLeast(0)),
  beyondContext: v.boolean(),
  /** Null if a depth has seen no token. */
  depths: v.array(v.nullable(depth)),
});

export type Description = v.InferOutput<typeof schema>;
export type DepthDescription = v.InferOutput<typeof depth>;
export type SegmentDescription = v.InferOutput<typeof segment>;

/**
 * Parses the JSON of a snapshot.
 * @throws FormatError if it is not what `writeSnapshot` writes.
 */
export function parseDescription(text: string): Description {
  const result = v.safeParse(schema, parseJsonText(text, 'The description in this snapshot'), {
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

/** The error of a snapshot whose checksum is right but whose content is inconsistent. */
export function damaged(what: string): FormatError {
  return new FormatError(`This snapshot does not describe a valid cache: ${what}. Save the cache again.`);
}
