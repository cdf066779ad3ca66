import type {Spec} from '../base/options.js';
import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';

/** Makes an object from its options. (Written as a method, so that factories of narrower options are assignable.) */
export type AnyFactory<Made> = {make(options?: object): Made}['make'] & {
  readonly optionNames?: readonly string[];
};

/** Factories by name: the package's own, and those that users register. */
export class Registry<Made> {
  readonly #factories: Map<string, AnyFactory<Made>>;

  /** @param kind what the factories make, as named in errors. */
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

  /** Returns the names of a factory's options; undefined if no factory has that name, or if it does not list them. */
  optionNames(name: string): readonly string[] | undefined {
    return this.#factories.get(name)?.optionNames;
  }

  /**
   * Adds a factory.
   * @throws InvalidArgumentError if the name is taken.
   */
  register(name: string, factory: AnyFactory<Made>): void {
    if (this.has(name)) {
      throw new InvalidArgumentError(`There is already a ${this.kind} "${name}"; give yours another name.`);
    }
    this.#factories.set(name, factory);
  }

  /**
   * Makes an object by name. Missing options have their defaults.
   * @throws InvalidArgumentError if no factory has that name, if it does not accept the options, or if options stand outside `options`.
   */
  make(spec: Spec): Made {
    const given: unknown = spec;
    if (!isSpec(given)) {
      throw new InvalidArgumentError(
        `${shown(given)} is not a ${this.kind}; expected its name and options: {name: "...", options: {...}}.`,
      );
    }
    const {name, options, ...beside} = given;
    const [dropped] = Object.keys(beside);
    if (options === undefined && dropped !== undefined) {
      throw new InvalidArgumentError(
        `${shown(given)} has "${dropped}" next to its name; put options into "options": {name: "${name}", options: {...}}.`,
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

/** Whether a value has a name and, if any, an object of options. Plain JavaScript callers may pass any value. */
export function isSpec(given: unknown): given is Spec {
  if (typeof given !== 'object' || given === null || !('name' in given)) return false;
  const options = 'options' in given ? given.options : undefined;
  return (
    typeof given.name === 'string' &&
    (options === undefined || (typeof options === 'object' && options !== null))
  );
}
