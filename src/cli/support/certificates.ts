import type {Plan} from '../../../cache/plans/plan.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {certify, planLabel} from '../../evaluate/index.js';
import type {NamedCertificate} from '../../report/certificate_table.js';
import {flag} from './arguments.js';
import {withBar} from './progress.js';
import type {NamedText} from './text_args.js';

/** Tokens of a certificate, at most: each depth takes a pass. */
const mostTokens = 512;

export const certifyArg = flag(
  `Also measure each depth alone, beside what the model's profile predicts: a pass per depth over the first ${mostTokens} tokens`,
);

interface CertificateOptions {
  readonly text: NamedText;
  readonly tokens: number;
  readonly chunk: number;
  readonly signal: AbortSignal;
}

/** Certifies plans one by one, with a progress bar. Plans that are `full` have no certificate. */
export async function certificatesOf(
  loaded: LoadedModel,
  plans: readonly Plan[],
  {text, tokens, chunk, signal}: CertificateOptions,
): Promise<NamedCertificate[]> {
  const certificates: NamedCertificate[] = [];
  for (const plan of plans.filter(each => planLabel(each) !== 'full')) {
    const certificate = await withBar(`Certifying ${planLabel(plan)}`, onProgress =>
      certify(loaded, text.content, {plan, tokens: Math.min(tokens, mostTokens), chunk, signal, onProgress}),
    );
    certificates.push({model: loaded.name, text: text.name, ...certificate});
  }
  return certificates;
}
