import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';
import {type Options, type Spec, unknownOption} from '../base/options.js';

/**
 * Makes an object from its options. Without `optionNames`, the options that the object lists for its defaults are taken for all that
 * there are. (Written as a method, so that factories of narrower options are assignable.)
 */
export type AnyFactory<Made> = {make(options?: object): Made}['make'] & {
  readonly optionNames?: readonly string[];
};

/** Factories by name: the package's own, and those that users register. */
export class Registry<Made extends {readonly name: string; readonly options: Options}> {
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

  /**
   * Returns the names of a factory's options; undefined if no factory has that name, or if neither it nor what it makes of its defaults
   * lists them.
   */
  optionNames(name: string): readonly string[] | undefined {
    const factory = this.#factories.get(name);
    return factory?.optionNames ?? (factory && this.#listedOptions(name, factory));
  }

  /** The options that an object of that name lists for its defaults. An object of another name lists those of another factory. */
  #listedOptions(name: string, factory: AnyFactory<Made>): readonly string[] | undefined {
    let made: unknown;
    try {
      made = factory({});
    } catch {
      return undefined; // it has no defaults
    }
    return isSpec(made) && made.name === name && made.options !== undefined
      ? Object.keys(made.options)
      : undefined;
  }

  /**
   * Adds a factory.
   * @throws InvalidArgumentError if the name is taken or cannot stand in a plan's text, or if it is not a function.
   */
  register(name: string, factory: AnyFactory<Made>): void {
    if (typeof name !== 'string' || !/^[A-Za-z]\w*$/.test(name)) {
      throw new InvalidArgumentError(
        `${shown(name)} cannot name a ${this.kind}; use letters, digits and "_", beginning with a letter.`,
      );
    }
    if (typeof factory !== 'function') {
      throw new InvalidArgumentError(
        `${shown(factory)} cannot make the ${this.kind} "${name}"; expected a function from options to a ${this.kind}.`,
      );
    }
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
    const factory = this.#factories.get(name);
    if (factory === undefined) throw unknownName(this.kind, name, this.names);
    const own = options && this.optionNames(name);
    const dropped = Object.keys(beside).find(key => options === undefined || own?.includes(key));
    if (dropped !== undefined) throw besideName(given, dropped);
    if (factory.optionNames === undefined) this.#expectNames(name, factory, options ?? {});
    const made = factory(options ?? {});
    if (isSpec(made)) return made;
    throw new InvalidArgumentError(
      `The factory of the ${this.kind} "${name}" returned ${shown(made)}; expected a ${this.kind} with a name and options.`,
    );
  }

  /** A factory that does not check its options would ignore a misspelt one. */
  #expectNames(name: string, factory: AnyFactory<Made>, options: Options): void {
    const names = this.#listedOptions(name, factory);
    const unknown = names && Object.keys(options).find(option => !names.includes(option));
    if (unknown !== undefined) throw unknownOption(name, unknown, names!);
  }
}

/** The error for an option that stands outside a spec's `options`. */
export function besideName(spec: Spec, option: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `${shown(spec)} has "${option}" next to its name; put options into "options": {name: "${spec.name}", options: {...}}.`,
  );
}

/** The error for a name that none of these is. */
export function unknownName(kind: string, name: string, names: readonly string[]): InvalidArgumentError {
  return new InvalidArgumentError(
    `There is no ${kind} "${name}"; there are ${names.join(', ')}.${didYouMean(name, names)}`,
  );
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
