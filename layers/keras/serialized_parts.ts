import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Initializer} from '../layer_args.js';

/** tfjs does not export its name. */
export type Regularizer = NonNullable<Parameters<tf.layers.Layer['addWeight']>[4]>;
/** tfjs does not export its name. */
export type Constraint = NonNullable<Parameters<tf.layers.Layer['addWeight']>[6]>;

/** An object of tfjs as configs say it: its name in camel case, its class and config, or the object itself. */
export type Serialized<Made> = string | {readonly className: string; readonly config: object} | Made;

/** How weights start, what their losses are, and what they are kept to. tfjs makes these objects from configs, but exports no function. */
export function initializerFrom(given: Serialized<Initializer>, option: string): Initializer {
  return made<Initializer>(given, option, 'initializer');
}

export function regularizerFrom(given: Serialized<Regularizer>, option: string): Regularizer {
  return made<Regularizer>(given, option, 'regularizer');
}

export function constraintFrom(given: Serialized<Constraint>, option: string): Constraint {
  return made<Constraint>(given, option, 'constraint');
}

/** What `made` reads again; undefined for undefined. */
export function serialized(
  part: tf.serialization.Serializable | undefined,
): tf.serialization.ConfigDict | undefined {
  return part && {className: part.getClassName(), config: part.getConfig()};
}

function made<Made extends tf.serialization.Serializable>(
  given: Serialized<Made>,
  option: string,
  kind: PartKind,
): Made {
  if (given instanceof tf.serialization.Serializable) {
    expectKind(otherKind(given, kind), given.getClassName(), option, kind);
    return given;
  }
  const {className, config} = typeof given === 'string' ? {className: given, config: {}} : given;
  const known = classNamed(className);
  if (known === undefined) {
    throw new InvalidArgumentError(
      `${option} = ${shown(given)}: tfjs knows no ${kind} of this name. Register its class with tf.serialization.registerClass.`,
    );
  }
  const [cls, fromConfig] = known;
  expectKind(otherKind(cls.prototype as object, kind), className, option, kind);
  return fromConfig(cls, config as tf.serialization.ConfigDict) as Made;
}

function expectKind(other: string | undefined, className: string, option: string, kind: PartKind): void {
  if (other === undefined) return;
  throw new InvalidArgumentError(`${option} is ${className}, which is no ${kind} but ${other}.`);
}

function classNamed(name: string) {
  const classes = tf.serialization.SerializationMap.getMap().classNameMap;
  const sameName = Object.keys(classes).find(other => other.toLowerCase() === name.toLowerCase()); // 'l1l2' is L1L2
  return classes[name] ?? classes[sameName ?? name];
}

/** What a config of weights may name. */
export type PartKind = 'constraint' | 'initializer' | 'regularizer';

/** What a registered class is, if it is of another kind; undefined if it is of this kind, of one's own, or not registered. */
export function otherKindOf(className: string, kind: PartKind): string | undefined {
  const [cls] = classNamed(className) ?? [];
  return cls && otherKind(cls.prototype as object, kind);
}

function otherKind(part: object, kind: PartKind): string | undefined {
  const isOther = ([name, base]: [string, object]) =>
    !name.endsWith(` ${kind}`) && Object.prototype.isPrototypeOf.call(base, part);
  return Object.entries(kindsOfTfjs()).find(isOther)?.[0];
}

/** The prototypes of tfjs' kinds of classes. It exports those of layers and optimizers, and of the others only functions that make some. */
const kindsOfTfjs = (): Readonly<Record<string, object>> => ({
  'a layer': tf.layers.Layer.prototype,
  'an optimizer': tf.Optimizer.prototype,
  'an activation': baseOf(
    tf.serialization.SerializationMap.getMap().classNameMap['relu']![0].prototype as object,
  ),
  'a constraint': baseOf(classOf(tf.constraints.nonNeg())),
  'an initializer': baseOf(classOf(tf.initializers.zeros())),
  'a regularizer': baseOf(classOf(tf.regularizers.l1())),
});

const baseOf = (prototype: object): object => Object.getPrototypeOf(prototype) as object;
const classOf = (made: object): object => Object.getPrototypeOf(made) as object;
