import {short, small} from '../../base/units.js';
import type {Measurement, ModelFacts} from '../engine/protocol.js';

interface HeatMapsProps {
  readonly measurement: Measurement;
  readonly model: ModelFacts;
}

/** Ranks of keys and values by depth and head, and each depth's error. Tables: they can be read without colours. */
export function HeatMaps({
  measurement: {ranks, outputErrors, predictedKls},
  model: {depths, kvHeads, headDim},
}: HeatMapsProps) {
  const predicted = predictedKls.filter(kl => kl !== undefined);
  const mostKl = Math.max(...predicted, 1e-12);
  const mostError = Math.max(...outputErrors, 1e-9);
  const ofSide = (side: 'keys' | 'values', depth: number) =>
    ranks
      .filter(rank => rank.side === side && rank.depth === depth)
      .map(({rank}) => ({share: rank / headDim, label: String(rank)}));
  const heads = Array.from({length: kvHeads}, (_, head) => `head ${head}`);
  const rows = Array.from({length: depths}, (_, depth) => depth);
  return (
    <div class="heat-maps">
      <div class="heat-row">
        <HeatMap title="Rank of keys" columns={heads} rows={rows.map(depth => ofSide('keys', depth))} />
        <HeatMap title="Rank of values" columns={heads} rows={rows.map(depth => ofSide('values', depth))} />
        <HeatMap
          title="Error of your plan"
          columns={['attention']}
          rows={outputErrors.map(error => [
            {share: error / mostError, label: `${short(round(100 * error))} %`},
          ])}
        />
        {predicted.length > 0 && (
          <HeatMap
            title="Predicted KL"
            columns={['nats']}
            rows={predictedKls.map(kl => [
              {share: (kl ?? 0) / mostKl, label: kl === undefined ? '-' : small(kl)},
            ])}
          />
        )}
      </div>
      <p class="muted small">
        Rank: the fewest of {headDim} dimensions with 99 % of the energy of what a head stores of this text
        (keys before their rotation). Error: of a depth's attention output against exact attention of the same
        queries, ‖o′ − o‖ / ‖o‖.{' '}
        {predicted.length > 0 &&
          'Predicted KL: what each depth costs by the calibration of this model, nats per token.'}
      </p>
    </div>
  );
}

interface HeatMapProps {
  readonly title: string;
  readonly columns: readonly string[];
  /** By depth. A share from 0 to 1 is the colour. */
  readonly rows: readonly (readonly {readonly share: number; readonly label: string}[])[];
}

function HeatMap({title, columns, rows}: HeatMapProps) {
  return (
    <table class="heat">
      <caption>{title}</caption>
      <thead>
        <tr>
          <th scope="col">depth</th>
          {columns.map(column => (
            <th scope="col" key={column}>
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((cells, depth) => (
          <tr key={depth}>
            <th scope="row">{depth}</th>
            {cells.map(({share, label}, column) => (
              <td key={column} style={{'--share': `${Math.round(100 * share)}%`}}>
                {label}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Two digits are enough for an error. */
const round = (percent: number) => Number(percent.toPrecision(2));
