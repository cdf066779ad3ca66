import {ModelError} from '../../base/errors.js';
import {Interpreter, type Node, type Scope, type Value} from './jinja.js';

/**
 * Bounds of a template, which is untrusted code that runs synchronously: nothing can stop it from outside. They are far from what templates of
 * models need (some 30,000 characters; some hundred steps for a message).
 */
export interface TemplateLimits {
  /** Characters of the template. */
  readonly source: number;
  /** Characters and entries of any value that is computed, and so of the rendered text. */
  readonly value: number;
  /** Statements and expressions evaluated, each with what its value costs: 2^21 take a second or two. */
  readonly steps: number;
  /** Characters of what is searched for or put in between. Searches take time in proportion to both texts. */
  readonly needle: number;
}

/** Statements and expressions within each other. */
const maxDepth = 512;

/** What the nodes have that matters here. */
interface Operands extends Node {
  readonly operator?: {readonly value: string};
  readonly left?: Node;
  readonly right?: Node;
  readonly name?: {readonly value: string};
  readonly object?: Node;
  readonly property?: {readonly value?: unknown};
  readonly operand?: Node;
  readonly iterable?: Node & {readonly lhs?: Node};
  readonly filter?: {readonly callee?: {readonly value?: unknown}; readonly args?: readonly Argument[]};
}

interface Argument extends Node {
  /** Of `name=value`. */
  readonly value?: Node;
  /** Of `*list` and `**dictionary`. */
  readonly argument?: Node;
}

/** Filters whose arguments are searched for, or repeated. */
const repeating: readonly unknown[] = ['replace', 'join', 'indent', 'tojson'];

/** Methods of texts that take time for each place where something is found. */
const searching: readonly unknown[] = ['replace', 'split'];

/** Steps of what costs more than others: a name without a value, and leaving a loop, throw errors inside the library. */
const errorSteps = 32;

/** Steps of one turn of a loop, which has a scope and a variable `loop` of its own. */
const turnSteps = 16;

/** Every statement and expression of a template passes through `evaluate`. */
export class LimitedInterpreter extends Interpreter {
  private steps = 0;
  private depth = 0;
  /** Expressions whose values are searched for, or repeated. */
  private readonly needles = new WeakSet<Node>();
  /** Expressions whose values are searched through. */
  private readonly haystacks = new WeakSet<Node>();
  /** Expressions that are looped over. */
  private readonly iterables = new WeakSet<Node>();
  private readonly macros = new WeakSet<Value>();
  /** Of lists and dictionaries, which never change. */
  private readonly weights = new WeakMap<Value, number>();

  constructor(
    scope: Scope,
    private readonly sourceLength: number,
    private readonly limits: TemplateLimits,
  ) {
    super(scope);
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    if (node === undefined) return super.evaluate(node, scope);
    this.before(node);
    const value = this.nested(() => super.evaluate(node, scope));
    const weight = this.weightOf(value);
    if (weight > this.limits.value) {
      throw new ModelError(`it makes a value of more than ${this.limits.value} characters and entries`);
    }
    this.count(costOf(node, value, weight));
    if (this.haystacks.has(node)) this.count(weight / 4);
    if (this.iterables.has(node)) this.count(turnSteps * entriesOf(value).length);
    if (this.needles.has(node)) this.expectShort(value);
    if (node.type === 'Macro') this.macros.add(scope.lookupVariable((node as Operands).name!.value));
    return value.type === 'FunctionValue' && node.type === 'MemberExpression' ? this.guarded(value) : value;
  }

  private before(node: Operands): void {
    const {type, operator, left, right, filter, iterable, operand, object, property} = node;
    this.count(type === 'Break' || type === 'Continue' ? errorSteps : 1);
    // their bodies are searched for names
    if (type === 'Macro' || type === 'CallStatement') this.count(this.sourceLength / 16);
    if (iterable !== undefined) this.iterables.add(iterable.lhs ?? iterable);
    if (object !== undefined && searching.includes(property?.value)) this.haystacks.add(object);
    const isSearch = operator?.value === 'in' || operator?.value === 'not in';
    if (isSearch && left !== undefined && right !== undefined) {
      this.haystacks.add(right);
      const isList = right.type === 'ArrayLiteral' || right.type === 'TupleLiteral';
      if (!isList) this.needles.add(left);
    }
    if (!repeating.includes(filter?.callee?.value)) return;
    if (operand !== undefined) this.haystacks.add(operand);
    for (const argument of filter?.args ?? []) this.needles.add(valueOf(argument));
  }

  /** A name takes time in proportion to the scopes that are searched for it. */
  private nested(evaluate: () => Value): Value {
    if (this.depth === maxDepth) throw new ModelError(`it nests deeper than ${maxDepth}`);
    this.depth++;
    try {
      return evaluate();
    } finally {
      this.depth--; // the end of a loop is an error, too
    }
  }

  private count(steps: number): void {
    this.steps += steps;
    if (this.steps > this.limits.steps) {
      throw new ModelError(
        `it does not end within ${this.limits.steps} steps: it loops, or the messages are too long for it`,
      );
    }
  }

  /** Characters and entries of a value, those of its entries included. */
  private weightOf(value: Value): number {
    const known = this.weights.get(value);
    if (known !== undefined) return known;
    if (typeof value.value === 'string') return value.value.length;
    let weight = 0;
    for (const entry of entriesOf(value)) {
      // it may change later, hold itself, and so have no weight
      if (entry.type === 'NamespaceValue')
        throw new ModelError('it puts a namespace into a list or a namespace');
      weight += 1 + this.weightOf(entry);
    }
    if (weight > 0 && value.type !== 'NamespaceValue') this.weights.set(value, weight);
    return weight;
  }

  private expectShort(value: Value): void {
    const most = this.limits.needle;
    if (this.weightOf(value) > most || numbersOf(value).some(number => number > most)) {
      throw new ModelError(`it searches for, or repeats, more than ${most} characters at once`);
    }
  }

  /** A method of a text, such as `replace`, however it is passed on; a macro takes what it likes. */
  private guarded(value: Value): Value {
    if (this.macros.has(value)) return value;
    const call = value.value as (args: Value[], scope: Scope) => Value;
    const guarded = (args: Value[], scope: Scope) => {
      for (const argument of args) this.expectShort(argument);
      return call(args, scope);
    };
    return Object.assign(Object.create(Object.getPrototypeOf(value) as object) as Value, value, {
      value: guarded,
    });
  }
}

/** Steps of a value: of a text a sixteenth of its characters; of a list that is made its entries, and what they hold if it is sorted or filtered. */
function costOf({type}: Node, value: Value, weight: number): number {
  if (value.type === 'UndefinedValue') return errorSteps;
  if (typeof value.value === 'string') return weight / 16;
  if (type === 'Identifier') return 0;
  return entriesOf(value).length + (type === 'FilterExpression' ? weight / 16 : 0);
}

/** The expression that gives an argument its value. */
function valueOf(given: Argument): Node {
  const {type, value, argument} = given;
  if (type === 'KeywordArgumentExpression') return value ?? given;
  return type.endsWith('SpreadExpression') ? (argument ?? given) : given;
}

/** The entries of a list, dictionary or namespace. */
function entriesOf({value}: Value): readonly Value[] {
  if (Array.isArray(value)) return value as Value[];
  return value instanceof Map ? ([...value.values()] as Value[]) : [];
}

/** The number, or those in the list or dictionary. */
function numbersOf(value: Value): number[] {
  return typeof value.value === 'number' ? [value.value] : entriesOf(value).flatMap(numbersOf);
}
