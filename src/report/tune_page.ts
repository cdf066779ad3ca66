import {counted} from '../../base/units.js';
import {type Tuning, planLabel} from '../evaluate/index.js';
import {certificateSection} from './certificate_page.js';
import {type NamedCertificate} from './certificate_table.js';
import {driftText} from '../evaluate/index.js';
import {escaped, htmlPage, tableHtml} from './html.js';
import {tuneColumns} from './tune_table.js';

export interface TunePageParts {
  readonly model: string;
  readonly text: string;
  readonly tuning: Tuning;
  /** The curve of size against divergence, and bits by depth and head: SVG. */
  readonly curve: string;
  readonly bits: string;
  /** Of the chosen plan. Default: none. */
  readonly certificates?: readonly NamedCertificate[];
}

/** Returns one self-contained HTML page: the curve, its points, the bits of the chosen plan, and its certificate. */
export function tunePage({model, text, tuning, curve, bits, certificates = []}: TunePageParts): string {
  const {points, chosen, tokens, plan} = tuning;
  const {drift} = chosen.measured!;
  const driftLine =
    drift === undefined
      ? ''
      : `<p${drift.hasLeft ? ' class="warning"' : ''}>${escaped(driftText(drift))}</p>`;
  return htmlPage({
    title: `${model}: bits for a size`,
    body: `<p>Measured on ${escaped(counted(tokens, 'token'))} of ${escaped(text)}. The chosen plan: <code>${escaped(planLabel(plan))}</code>.</p>
${driftLine}
<figure role="img" aria-label="KL divergence against bytes, predicted and measured">
${curve}
</figure>
${tableHtml(tuneColumns(chosen), points, chosen)}
<p class="note">Codes: codes, scales and the table of positions of a long text. All: with exact tokens and spare room of this text. Made by <code>eigenkv tune</code>.</p>
<figure role="img" aria-label="Bits by depth, head and group of channels">
${bits}
</figure>
${certificates.map(certificateSection).join('\n')}`,
    data: {id: 'tuning', value: tuning},
  });
}
