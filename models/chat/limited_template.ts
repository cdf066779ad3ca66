import {ModelError} from '../../base/errors.js';
import {Environment, parse, tokenize} from './jinja.js';
import {LimitedInterpreter, type TemplateLimits} from './limited_interpreter.js';
import {strftime} from './strftime.js';

export const templateLimits: TemplateLimits = {
  source: 2 ** 18,
  value: 2 ** 21,
  steps: 2 ** 21,
  needle: 128,
};

/** The most numbers of a `range`. */
const maxRange = 2 ** 16;

/** The longest run of whitespace in a template: the lexer takes time in proportion to its square. */
const maxWhitespace = 1024;

/**
 * Renders a Jinja template (https://jinja.palletsprojects.com, as @huggingface/jinja reads it) as transformers does: trimmed blocks, the functions
 * `raise_exception`, `strftime_now`, `range` and `namespace`, the tag `generation`.
 *
 * @throws ModelError, or an error of the library, if the template is wrong, raises an exception, or exceeds a limit.
 */
export function renderTemplate(
  source: string,
  variables: Readonly<Record<string, unknown>>,
  limits = templateLimits,
): string {
  checkSource(source, limits);
  const program = parse(tokenize(source, {lstrip_blocks: true, trim_blocks: true}));
  const environment = new Environment();
  for (const [name, value] of Object.entries({...globals(), ...variables})) environment.set(name, value);
  const {value} = new LimitedInterpreter(environment, source.length, limits).run(program);
  return String(value);
}

function checkSource(source: string, limits: TemplateLimits): void {
  if (source.length > limits.source) {
    throw new ModelError(`it has ${source.length} characters; ${limits.source} are allowed`);
  }
  let run = 0;
  for (let i = 0; i < source.length; i++) {
    run = /\s/.test(source[i]!) ? run + 1 : 0;
    if (run > maxWhitespace) {
      throw new ModelError(`it has more than ${maxWhitespace} characters of whitespace in a row`);
    }
  }
}

function globals(): Record<string, unknown> {
  return {
    ...{true: true, false: false, none: null, True: true, False: false, None: null},
    raise_exception(message: unknown) {
      throw new ModelError(String(message));
    },
    strftime_now: (format: unknown) => strftime(new Date(), String(format)),
    range: (...given: readonly unknown[]) => range(given),
  };
}

/** Python's range. */
function range(given: readonly unknown[]): number[] {
  const numbers = given.map(Number);
  const [start, stop, step = 1] = given.length === 1 ? [0, ...numbers] : numbers;
  if (start === undefined || stop === undefined || step === 0 || !numbers.every(Number.isInteger)) {
    throw new ModelError(`range(${numbers.join(', ')}) is not one of whole numbers`);
  }
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > maxRange) throw new ModelError(`it counts ${length} numbers; ${maxRange} are allowed`);
  return Array.from({length}, (_, i) => start + i * step);
}
