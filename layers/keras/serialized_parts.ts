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
  kind: string,
): Made {
  if (given instanceof tf.serialization.Serializable) return given;
  const {className, config} = typeof given === 'string' ? {className: given, config: {}} : given;
  const classes = tf.serialization.SerializationMap.getMap().classNameMap;
  const sameName = Object.keys(classes).find(name => name.toLowerCase() === className.toLowerCase()); // 'l1l2' is L1L2
  const known = classes[sameName ?? className];
  if (known === undefined) {
    throw new InvalidArgumentError(
      `${option} = ${shown(given)}: tfjs knows no ${kind} of this name. Register its class with tf.serialization.registerClass.`,
    );
  }
  const [cls, fromConfig] = known;
  return fromConfig(cls, config as tf.serialization.ConfigDict) as Made;
}
