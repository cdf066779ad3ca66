import * as library from '@huggingface/jinja';

// The parts of @huggingface/jinja that are used, with types: its own refer to files without their endings, which Node's resolution does not find.

/** A value of a running template. */
export interface Value {
  /** `StringValue`, `ArrayValue`, `FunctionValue` ... */
  readonly type: string;
  /** A text, number, boolean, list of values, Map of values, or function. */
  readonly value: unknown;
}

/** A statement or expression of a template. */
export interface Node {
  /** `Macro`, `BinaryExpression` ... */
  readonly type: string;
}

export interface Scope {
  /** Declares a variable; what is no value of templates becomes one. */
  set(name: string, value: unknown): Value;
  lookupVariable(name: string): Value;
}

export interface TemplateInterpreter {
  run(program: Node): Value;
  /** Every statement and expression passes through this method. */
  evaluate(node: Node | undefined, scope: Scope): Value;
}

interface Library {
  readonly Environment: new () => Scope;
  readonly Interpreter: new (scope: Scope) => TemplateInterpreter;
  readonly tokenize: (
    source: string,
    options: {readonly lstrip_blocks: boolean; readonly trim_blocks: boolean},
  ) => readonly unknown[];
  readonly parse: (tokens: readonly unknown[]) => Node;
}

export const {Environment, Interpreter, parse, tokenize} = library as unknown as Library;
