import * as v from 'valibot';
import {FormatError} from '../../../base/errors.js';
import {parseJsonText} from '../../../base/files/json_text.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import {type TensorToWrite, writeSafetensorsFile} from '../../../base/files/write_safetensors.js';
import {
  type SideTransform,
  type TransformProfile,
  transformSides,
} from '../../../cache/codecs/transform_profile/profile.js';
import {checkProfile} from '../../../cache/codecs/transform_profile/check_profile.js';
import {inverses} from '../../../ops/linalg/inverse.js';
import {checksumOf, checksumOfFile} from './checksum.js';
import {readRope} from './statistics_file.js';

const kind = 'eigenkv transform profile';
const version = 2;

/** A number of a code is this less: the writer has no signed bytes. */
const zeroCode = 128;
const largestCode = 127;

/**
 * Writes a profile as safetensors (Node only). Of each side of each depth, `<depth>.<side>.codes` U8 and `.steps` F32 are the rows of B in
 * 8 bits, `B = (codes - 128) steps`; A is their inverse when the file is read, so that A B = I holds for what is stored. Means, weights and
 * scales are F32, and the metadata has a checksum of all tensors. SmolLM2-135M takes 0.9 MB. (Its divergence on 1,024 tokens of WikiText-2's
 * test text, by B in float32 and in 8 bits: .0125 and .0127 at 2.5 bits, .00091 and .00089 at 4.4 bits; half of these differences is noise.)
 *
 * @throws InvalidArgumentError if it is no profile; TransferError if the disk fails.
 */
export async function saveTransformProfile(profile: TransformProfile, path: string): Promise<void> {
  checkProfile(profile);
  const {fingerprint, rope, tokens, gradientTokens, texts, depths} = profile;
  const tensors = depths.flatMap((depth, index) =>
    transformSides.flatMap(side => tensorsOf(`${index}.${side}`, depth[side])),
  );
  const metadata = {
    ...{kind, version: String(version), fingerprint, depths: String(depths.length)},
    tokens: String(tokens), // metadata holds strings only
    gradient_tokens: String(gradientTokens),
    checksum: await checksumOf(tensors),
    texts: JSON.stringify(texts),
    ...(rope && {rope: JSON.stringify(rope)}),
  };
  await writeSafetensorsFile(path, tensors, {metadata});
}

function tensorsOf(name: string, transform: SideTransform): TensorToWrite[] {
  const {kvHeads, dim, mean, rotatedMean, synthesis, weights, tokenScales} = transform;
  const steps = Float32Array.from({length: kvHeads * dim}, (_, row) => {
    const largest = synthesis
      .subarray(row * dim, (row + 1) * dim)
      .reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    return largest > 0 ? largest / largestCode : 1;
  });
  const codes = Uint8Array.from(
    synthesis,
    (x, at) => Math.round(x / steps[Math.floor(at / dim)]!) + zeroCode,
  );
  const float = (part: string, shape: number[], numbers: ArrayLike<number>): TensorToWrite => ({
    ...{name: `${name}.${part}`, dtype: 'F32', shape},
    data: () => Float32Array.from(numbers),
  });
  return [
    {name: `${name}.codes`, dtype: 'U8', shape: [kvHeads, dim, dim], data: () => codes},
    float('steps', [kvHeads, dim], steps),
    float('weights', [kvHeads, dim], weights),
    ...(mean.some(x => x !== 0) ? [float('mean', [kvHeads, dim], mean)] : []),
    ...(rotatedMean ? [float('rotated_mean', [kvHeads, dim], rotatedMean)] : []),
    float('scales', [2, kvHeads], [...tokenScales.mean, ...tokenScales.deviation]),
  ];
}

/**
 * Reads what `saveTransformProfile` wrote (Node only).
 * @throws InvalidArgumentError if there is no such file; FormatError if it is not a profile, damaged, or of another version.
 */
export async function loadTransformProfile(path: string): Promise<TransformProfile> {
  if (path.endsWith('.json')) throw noProfile(path); // not an index of shards either, as which it would be read
  const file = await openTensorPath(path);
  try {
    return await readTransformProfile(file, path);
  } finally {
    await file.close();
  }
}

const textsSchema = v.array(v.string());

/**
 * Reads a profile from an open file.
 * @param name what messages call it.
 * @param inverts when the inverses of B are calculated. `'atUse'` is for files that are known to be sound: each side of a depth by itself,
 *   since most models that come with a profile never use it.
 * @throws FormatError if it is not a profile, damaged, or of another version.
 */
export async function readTransformProfile(
  file: TensorFile,
  name: string,
  inverts: 'atOnce' | 'atUse' = 'atOnce',
): Promise<TransformProfile> {
  const text = (key: string) => {
    const value = file.metadata.get(key);
    return typeof value === 'string' ? value : '';
  };
  if (text('kind') !== kind) throw noProfile(name);
  if (text('version') !== String(version)) {
    throw new FormatError(
      `${name} is a profile of version ${text('version')}; this eigenkv reads version ${version}. Update it, or make the profile again.`,
    );
  }
  if ((await checksumOfFile(file)) !== text('checksum')) {
    throw new FormatError(
      `${name} is damaged: its tensors do not have the checksum ${text('checksum')} that it says. Use another copy, or make the profile again.`,
    );
  }
  const [count, tokens, gradientTokens] = ['depths', 'tokens', 'gradient_tokens'].map(key =>
    Number(text(key)),
  );
  const texts = v.safeParse(textsSchema, parseJsonText(text('texts'), `The texts of ${name}`));
  if (![count, tokens, gradientTokens].every(x => Number.isSafeInteger(x) && x! > 0) || !texts.success) {
    throw new FormatError(`${name} has counts or texts that cannot be; make the profile again.`);
  }
  const depths = [];
  for (let depth = 0; depth < count!; depth++) {
    const [keys, values] = [
      await readSide(file, `${depth}.keys`, name, inverts),
      await readSide(file, `${depth}.values`, name, inverts),
    ];
    depths.push({keys, values});
  }
  const rope = readRope(file, 'rope', depths[0]!.keys.dim, name);
  if (depths.some(({keys}) => (keys.rotatedMean === undefined) !== (rope === undefined))) {
    throw new FormatError(
      `${name} has means of rotated keys without a rotation, or none with one; make the profile again.`,
    );
  }
  return {
    ...{fingerprint: text('fingerprint'), tokens: tokens!, gradientTokens: gradientTokens!},
    ...(rope && {rope}),
    ...{texts: texts.output, depths},
  };
}

async function readSide(
  file: TensorFile,
  prefix: string,
  path: string,
  inverts: 'atOnce' | 'atUse',
): Promise<SideTransform> {
  const [kvHeads = 0, dim = 0] = file.tensors.get(`${prefix}.codes`)?.shape ?? [];
  const read = async (part: string, ...shape: number[]) => {
    const name = `${prefix}.${part}`;
    const numbers =
      file.tensors.get(name)?.shape.join() === shape.join() ? await file.readFloat32(name) : undefined;
    if (numbers !== undefined && numbers.length > 0 && numbers.every(Number.isFinite)) return numbers;
    throw damaged(path, name);
  };
  const codes = await read('codes', kvHeads, dim, dim);
  const steps = await read('steps', kvHeads, dim);
  const weights = Float64Array.from(await read('weights', kvHeads, dim));
  if (weights.some((weight, i) => weight < 0 || (i % dim > 0 && weight > weights[i - 1]!))) {
    throw damaged(path, `${prefix}.weights`);
  }
  const has = (part: string) => file.tensors.has(`${prefix}.${part}`);
  const scales = Float64Array.from(await read('scales', 2, kvHeads));
  const synthesis = codes.map((code, at) => (code - zeroCode) * steps[Math.floor(at / dim)]!);
  const invert = () => {
    const inverted = inverses(synthesis, kvHeads, dim);
    if (inverted === undefined) throw damaged(path, `${prefix}.codes`);
    return inverted;
  };
  let analysis = inverts === 'atOnce' ? invert() : undefined;
  return {
    ...{kvHeads, dim, synthesis, weights},
    get analysis() {
      analysis ??= invert();
      return analysis;
    },
    mean: has('mean') ? await read('mean', kvHeads, dim) : new Float32Array(kvHeads * dim),
    ...(has('rotated_mean') && {rotatedMean: await read('rotated_mean', kvHeads, dim)}),
    tokenScales: {mean: scales.slice(0, kvHeads), deviation: scales.slice(kvHeads)},
  };
}

function damaged(path: string, tensor: string): FormatError {
  return new FormatError(`${path}: the tensor "${tensor}" is missing or damaged; make the profile again.`);
}

function noProfile(path: string): FormatError {
  return new FormatError(
    `${path} is not a profile of transforms; make one with "eigenkv calibrate --profile FILE.safetensors", or saveTransformProfile.`,
  );
}
