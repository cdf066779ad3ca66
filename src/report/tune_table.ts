import type {TunePoint} from '../evaluate/tune.js';
import {change, count, percent, small} from '../../base/units.js';
import {type Column, type NamedColumns, type TableOptions, columnsOf, tableText} from './table.js';

/** The columns of a curve of bits, the most important first. */
export const tuneColumnNames = [
  'bits',
  'float32',
  'predicted',
  'measured',
  'change',
  'top1',
  'all',
  'bytes',
] as const;

/** Returns the curve of bytes against divergence as a table. */
export function tuneTable(
  points: readonly TunePoint[],
  chosen: TunePoint,
  options: TableOptions = {},
): string {
  return tableText(tuneColumns(chosen), points, options);
}

/** @param chosen the point that is marked. */
export function tuneColumns(chosen: TunePoint): Column<TunePoint>[] {
  const columns: NamedColumns<(typeof tuneColumnNames)[number], TunePoint> = {
    bits: {head: 'bits', cell: point => `${point === chosen ? '> ' : ''}${point.bits}`},
    float32: {head: 'codes of float32', cell: ({ratio}) => `${ratio.toFixed(3)}x`},
    predicted: {
      head: 'KL predicted',
      cell: ({predictedKl}) => (predictedKl === undefined ? '-' : small(predictedKl)),
    },
    measured: {
      head: 'KL measured',
      cell: ({measured}) =>
        measured ? `${small(measured.klDivergence)} ± ${small(measured.klStderr)}` : '-',
    },
    change: {
      head: 'perplexity',
      cell: ({measured}) =>
        measured ? `${change(1 + measured.change, 1)} ± ${percent(measured.changeStderr, 2)}` : '-',
    },
    top1: {
      head: 'same top token',
      cell: ({measured}) => (measured ? percent(measured.top1Agreement, 1) : '-'),
    },
    all: {
      head: 'all of float32',
      cell: ({measured}) => (measured ? `${measured.ratioToFloat32.toFixed(3)}x` : '-'),
    },
    bytes: {head: 'bytes/token', cell: ({bytesPerToken}) => count(bytesPerToken)},
  };
  return columnsOf(tuneColumnNames, columns);
}
