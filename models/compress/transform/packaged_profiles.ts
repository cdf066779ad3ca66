import {TransferError} from '../../../base/errors.js';
import {bytesSource} from '../../../base/files/byte_source.js';
import {readOwnFile} from '../../../base/files/package_file.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import {fingerprintOf} from '../../../cache/binding/fingerprint.js';
import type {TransformProfile} from '../../../cache/codecs/transform_profile/index.js';
import {type ModelLike, modelOf} from '../../model_like.js';
import {denseAttentions} from '../dense_attention.js';
import {readTransformProfile} from './profile_file.js';

interface PackagedProfile {
  readonly file: string;
  /** How many attention layers the model has: of other models no fingerprint is taken. */
  readonly depths: number;
  /** Written out, for bundlers to see. (`npm run build` copies the folder.) */
  readonly url: () => URL;
}

/** By the fingerprint of the model's attention weights; profiles/README.md says how each was made. */
const profiles: Readonly<Record<string, PackagedProfile>> = {
  '1ff52a22efda716f': {
    file: 'embedded.safetensors',
    depths: 9,
    url: () => new URL('../../../profiles/embedded.safetensors', import.meta.url),
  },
  b1bacc96410cd570: {
    file: 'smollm2_135m_instruct_q4_1.safetensors',
    depths: 30,
    url: () => new URL('../../../profiles/smollm2_135m_instruct_q4_1.safetensors', import.meta.url),
  },
};

/**
 * The profile that comes with the package for a model, found by the fingerprint of its attention weights: the embedded model and
 * SmolLM2-135M-Instruct (Q4_1) have one.
 *
 * @returns undefined if there is none for this model; make one with `calibrate` and `transformProfile`.
 * @throws TransferError if it cannot be read; ModelError or InvalidArgumentError if the model's attention is not known or compressed.
 */
export async function profileFor(model: ModelLike): Promise<TransformProfile | undefined> {
  const count = denseAttentions(modelOf(model)).length;
  if (Object.values(profiles).every(({depths}) => depths !== count)) return undefined;
  const fingerprint = await attentionFingerprint(model);
  const packaged = Object.hasOwn(profiles, fingerprint) ? profiles[fingerprint] : undefined;
  return packaged && read(packaged);
}

/** The fingerprint of a model's attention weights: that of its calibrations and profiles. */
export function attentionFingerprint(model: ModelLike): Promise<string> {
  return fingerprintOf(denseAttentions(modelOf(model)).map(({layer}) => layer));
}

async function read({file, url}: PackagedProfile): Promise<TransformProfile> {
  const copy = `profiles/${file}`;
  try {
    const {bytes} = await readOwnFile(addressOf(url), copy, `dist/${copy}`);
    return await readTransformProfile(await openSafetensors(bytesSource(bytes, file)), file, 'atUse');
  } catch (cause) {
    if (!(cause instanceof TransferError)) throw cause;
    throw new TransferError(
      `The profile ${file} cannot be read: ${cause.message} Install the package again; or copy the folder ` +
        'node_modules/eigenkv/dist/profiles beside the script, as bundlers do that know `new URL(..., import.meta.url)`.',
      {cause},
    );
  }
}

/** Undefined if there is no import.meta.url, as in classic scripts. */
function addressOf(url: () => URL): URL | undefined {
  try {
    return url();
  } catch {
    return undefined;
  }
}
