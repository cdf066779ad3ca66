import {change, percent, short, small, timesSmaller} from '../../base/units.js';
import type {TaskRow} from '../../src/evaluate/index.js';
import type {EvaluationRow} from '../../src/index.js';
import type {Measurement} from '../engine/protocol.js';

/** What both caches make of the text. */
export function MeasureTable({
  full,
  plan,
  drift,
  answers,
}: Pick<Measurement, 'full' | 'plan' | 'drift' | 'answers'>) {
  const rows: readonly {title: string; hint: string; value: (row: EvaluationRow) => string}[] = [
    {
      title: 'Perplexity',
      hint: 'lower is better',
      value: row => `${short(row.perplexity)} ± ${short(row.perplexityStderr)}`,
    },
    {
      title: 'Against full',
      hint: 'change of perplexity',
      value: row =>
        row === full ? '-' : `${change(row.perplexity, full.perplexity)} ± ${percent(row.changeStderr, 2)}`,
    },
    {
      title: 'KL divergence',
      hint: 'nats per token',
      value: row => (row === full ? '0' : `${small(row.klDivergence)} ± ${small(row.klStderr)}`),
    },
    {
      title: 'KL predicted',
      hint: 'by the calibration',
      value: row => (row === full || row.predictedKl === undefined ? '-' : small(row.predictedKl)),
    },
    {
      title: 'Same top token',
      hint: 'of all positions',
      value: row => `${(100 * row.top1Agreement).toFixed(1)} %`,
    },
    {
      title: 'Bytes per token',
      hint: 'at the end',
      value: row => short(row.bytesPerToken),
    },
    {title: 'Than float32', hint: 'all tokens seen', value: row => timesSmaller(1 / row.ratioToFloat32)},
  ];
  return (
    <>
      <table class="measures" data-testid="measures">
        <thead>
          <tr>
            <td />
            <th scope="col">Full cache</th>
            <th scope="col">Your plan</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({title, hint, value}) => (
            <tr key={title}>
              <th scope="row">
                {title} <span class="muted small">{hint}</span>
              </th>
              <td>{value(full)}</td>
              <td>{value(plan)}</td>
            </tr>
          ))}
          {answers && (
            <tr>
              <th scope="row">
                Sentences recalled{' '}
                <span class="muted small">
                  of {answers.full.questions} in a longer text; {percent(answers.full.chance ?? 0, 0)} by
                  chance
                </span>
              </th>
              <td>{recalled(answers.full)}</td>
              <td>{recalled(answers.plan)}</td>
            </tr>
          )}
        </tbody>
      </table>
      {drift && (
        <p class={drift.hasLeft ? 'drift refusal small' : 'drift muted small'} data-testid="drift">
          {drift.text}
        </p>
      )}
    </>
  );
}

/** Questions whose answer is the most probable of its candidates. */
const recalled = ({chosen = 0, questions}: TaskRow) => `${Math.round(chosen * questions)} of ${questions}`;
