import {change, count, counted, fixed, percent, small, timesSmaller} from '../../base/units.js';
import type {Certificate, DepthCertificate} from '../evaluate/index.js';
import {driftText} from '../evaluate/index.js';
import {type Column, type NamedColumns, columnsOf, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {wrappedText} from './wrap.js';

/** A certificate with the names of its model and text. */
export interface NamedCertificate extends Certificate {
  readonly model: string;
  readonly text: string;
}

/** Returns a certificate as text: what was predicted beside what was measured, then a row for each depth. */
export function certificateText(certificate: NamedCertificate, width = outputWidth()): string {
  return [
    wrappedText(`${certificateHeading(certificate)}.`, width),
    '',
    ...certificateFacts(certificate).map(fact => wrappedText(fact, width)),
    '',
    tableText(certificateColumns(certificate), certificate.depths, {width}),
    '',
    wrappedText(certificateNote, width),
  ].join('\n');
}

export function certificateHeading({model, text, tokens, chunk, plan}: NamedCertificate): string {
  return `Certificate of ${plan}: ${model} on ${counted(tokens, 'token')} of ${text}, ${counted(chunk, 'token')} per pass`;
}

/** What a certificate says of the whole plan, a sentence or two each. */
export function certificateFacts({whole, full, sumOfDepths, calibratedOn}: Certificate): string[] {
  const {predictedKl, klDivergence, klStderr, perplexity, changeStderr, drift} = whole;
  const predicted =
    predictedKl === undefined || predictedKl === 0
      ? ''
      : `, ${times(klDivergence, predictedKl)} times the predicted ${small(predictedKl)}`;
  const sum =
    sumOfDepths > 0
      ? `; ${times(klDivergence, sumOfDepths)} times the sum over depths, ${small(sumOfDepths)}`
      : '';
  const facts = [
    `KL divergence: ${small(klDivergence)} ± ${small(klStderr)} nats per token measured${predicted}${sum}.`,
    `Perplexity: ${fixed(perplexity, 2)}, ${change(perplexity, full.perplexity)} ± ${percent(changeStderr, 2)} than full (${fixed(full.perplexity, 2)}); the same most probable token for ${percent(whole.top1Agreement, 1)}.`,
    `Bytes: ${count(whole.bytesPerToken)} per token, ${timesSmaller(1 / whole.ratioToFloat32)} than float32.`,
  ];
  if (calibratedOn !== undefined) {
    const texts = calibratedOn.length === 0 ? 'unnamed texts' : calibratedOn.join(', ');
    facts.push(
      `Calibrated on ${texts}. ${drift === undefined ? 'Nothing is stored by the calibration.' : driftText(drift)}`,
    );
  }
  return facts;
}

/** "1.04" */
const times = (measured: number, of: number) => fixed(measured / of, 2);

export const certificateNote =
  'Predicted: what the errors of calibrated tokens cost in the metric of the loss. Alone: KL divergence with only this depth compressed and all others exact, ± its standard error.';

const columnNames = ['depth', 'policy', 'bytes', 'predicted', 'alone', 'times'] as const;

export function certificateColumns({depths}: Certificate): Column<DepthCertificate>[] {
  const isMixed = depths.some(({policy}) => policy !== depths[0]!.policy);
  const columns: NamedColumns<(typeof columnNames)[number], DepthCertificate> = {
    depth: {head: 'depth', cell: ({depth}) => String(depth)},
    policy: {head: 'policy', cell: ({policy}) => policy, align: 'left'},
    bytes: {head: 'bytes/token', cell: ({bytesPerToken}) => count(bytesPerToken)},
    predicted: {
      head: 'KL predicted',
      cell: ({predictedKl}) => (predictedKl === undefined ? '-' : small(predictedKl)),
    },
    alone: {
      head: 'KL alone',
      cell: ({klDivergence, klStderr}) => `${small(klDivergence)} ± ${small(klStderr)}`,
    },
    times: {
      head: 'of predicted',
      cell: ({klDivergence, predictedKl}) =>
        predictedKl !== undefined && predictedKl > 0 ? `${fixed(klDivergence / predictedKl, 2)}x` : '-',
    },
  };
  const names = columnNames.filter(name => isMixed || name !== 'policy');
  return columnsOf(names, columns);
}
