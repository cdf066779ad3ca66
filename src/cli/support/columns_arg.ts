import {didYouMean} from '../../../base/errors.js';
import {everyValue} from './arguments.js';
import {UsageError} from './usage_error.js';

const every = 'all';

/** The option that chooses columns, for a command whose tables have these. */
export function columnsArg(names: readonly string[], more = '') {
  return {
    columns: {
      type: 'string',
      description: `Columns to show: ${names.join(', ')}; or ${every}. ${more}May be repeated. Default: as many of the first ones as fit`,
      valueHint: 'A,B',
    },
  } as const;
}

/**
 * The columns that `--columns` names, undefined where it is not there.
 * @throws UsageError for a column that there is not.
 */
export function readColumns(rawArgs: readonly string[], allowed: readonly string[]): string[] | undefined {
  const values = everyValue(rawArgs, 'columns');
  if (values.length === 0) return undefined;
  const names = values.flatMap(value => value.split(',')).map(name => name.trim());
  for (const name of names) {
    if (name === every || allowed.includes(name)) continue;
    throw new UsageError(
      `--columns = "${values.join(',')}": there is no column "${name}"; there are ${allowed.join(', ')}, ${every}.` +
        didYouMean(name, allowed),
    );
  }
  return names.includes(every) ? [...allowed] : [...new Set(names)];
}
