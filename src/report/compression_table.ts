import type {CompressionRow} from '../../models/index.js';
import {type NamedColumns, columnsOf, tableText} from './table.js';
import {percent} from '../../base/units.js';

/** The columns of the table of a compressed model, the most important first. */
export const compressionColumnNames = [
  'depth',
  'keyRank',
  'valueRank',
  'output',
  'keyMeasured',
  'valueMeasured',
  'keyPredicted',
  'valuePredicted',
] as const;

/** Returns a table of ranks and errors by depth. */
export function compressionTable(rows: readonly CompressionRow[], chosen?: readonly string[]): string {
  const shown = (share: number | undefined) => (share === undefined ? '-' : percent(share));
  const columns: NamedColumns<(typeof compressionColumnNames)[number], CompressionRow> = {
    depth: {head: 'depth', cell: row => String(row.depth)},
    keyRank: {head: 'key rank', cell: row => String(row.keyRank)},
    valueRank: {head: 'value rank', cell: row => String(row.valueRank)},
    output: {head: 'attention error, measured', cell: row => shown(row.measured?.outputError)},
    keyMeasured: {head: 'score error, measured', cell: row => shown(row.measured?.keyError)},
    valueMeasured: {head: 'V W_O error, measured', cell: row => shown(row.measured?.valueError)},
    keyPredicted: {head: 'score error, predicted', cell: row => shown(row.keyError)},
    valuePredicted: {head: 'V W_O error, predicted', cell: row => shown(row.valueError)},
  };
  return tableText(columnsOf(compressionColumnNames, columns), rows, {chosen});
}
