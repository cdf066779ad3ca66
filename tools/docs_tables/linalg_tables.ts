import {number, pivot, text} from './cells.js';
import {type Table, code, exponent, ms} from './table.js';

/** Of matrices of test/golden/linalg. */
const conditions: Readonly<Record<string | number, string>> = {
  ...{'1e0.5': '3', '1e3': '10^3', '1e6': '10^6', '1e12': '10^12'},
  ...{deficient: 'a quarter of full rank', equal: 'all values equal', columns: 'columns over 12 decades'},
};

export const linalgTables: Readonly<Record<string, Table>> = {
  linalg_errors: {
    ...{what: 'linalg', subject: 'Errors'},
    case: ({backend, op, size, condition}) => [backend, op, size, condition].join('|'),
    cells: figures =>
      pivot(
        figures.filter(({size}) => !['33 x 33', '33 x 20', '20 x 33'].includes(String(size))),
        {
          rows: [
            ['', code('op')],
            ['size', text('size')],
            ['backend', code('backend')],
          ],
          across: ({condition}) => conditions[condition!] ?? String(condition),
          cell: number('values', exponent),
          more: [
            ['`u diag(s) vt - x`', number('residual', exponent)],
            ['`vt vt^T - 1`', number('orthogonality', exponent)],
          ],
        },
      ),
  },
  linalg_times: {
    ...{what: 'linalg', subject: 'Times'},
    cells: figures =>
      pivot(figures, {
        rows: [
          ['', code('op')],
          ['size', text('size')],
        ],
        across: ({by}) => `${by} (ms)`,
        cell: ms,
      }),
  },
};
