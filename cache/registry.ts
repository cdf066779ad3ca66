import type {Spec} from '../base/options.js';
import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';

/** Makes a thing of its options. (Written as a method so that a factory of narrower options is one too.) */
export type AnyFactory<Made> = {make(options?: object): Made}['make'] & {
  readonly optionNames?: readonly string[];
};

/** Things by name: the package's own, and those that users add. */
export class Registry<Made> {
  readonly #factories: Map<string, AnyFactory<Made>>;

  /** @param kind what these are, as errors say it. */
  constructor(
    readonly kind: string,
    factories: Readonly<Record<string, AnyFactory<Made>>>,
  ) {
    this.#factories = new Map(Object.entries(factories));
  }

  get names(): string[] {
    return [...this.#factories.keys()];
  }

  has(name: string): boolean {
    return this.#factories.has(name);
  }

  /** The names of a factory's options; undefined if there is none of that name, or if it does not say. */
  optionNames(name: string): readonly string[] | undefined {
    return this.#factories.get(name)?.optionNames;
  }

  /** @throws InvalidArgumentError if the name is taken. */
  register(name: string, factory: AnyFactory<Made>): void {
    if (this.has(name)) {
      throw new InvalidArgumentError(`There is a ${this.kind} "${name}" already; give yours another name.`);
    }
    this.#factories.set(name, factory);
  }

  /**
   * Makes a thing by its name. Options that are missing have its defaults.
   * @throws InvalidArgumentError if there is none of that name, if it does not take the options, or if something stands beside them.
   */
  make(spec: Spec): Made {
    const given: unknown = spec;
    if (!isSpec(given)) {
      throw new InvalidArgumentError(
        `${shown(given)} is no ${this.kind}; expected its name and options: {name: "...", options: {...}}.`,
      );
    }
    const {name, options, ...beside} = given;
    const [dropped] = Object.keys(beside);
    if (options === undefined && dropped !== undefined) {
      throw new InvalidArgumentError(
        `${shown(given)} has "${dropped}" beside its name; options stand in "options": {name: "${name}", options: {...}}.`,
      );
    }
    const factory = this.#factories.get(name);
    if (factory === undefined) {
      throw new InvalidArgumentError(
        `There is no ${this.kind} "${name}"; there are ${this.names.join(', ')}.${didYouMean(name, this.names)}`,
      );
    }
    return factory(options ?? {});
  }
}

/** Callers of plain JavaScript give anything. */
export function isSpec(given: unknown): given is Spec {
  if (typeof given !== 'object' || given === null || !('name' in given)) return false;
  const options = 'options' in given ? given.options : undefined;
  return (
    typeof given.name === 'string' &&
    (options === undefined || (typeof options === 'object' && options !== null))
  );
}
