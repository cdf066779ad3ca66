import {type Json, type JsonObject, isArray, isObject, textOf} from './json.js';

/** What tfjs calls by another name. */
const classNames: Readonly<Record<string, string>> = {
  LecunNormal: 'LeCunNormal',
  LecunUniform: 'LeCunUniform',
  OrthogonalInitializer: 'Orthogonal',
  L1: 'L1L2',
  L2: 'L1L2',
};
const activations: Readonly<Record<string, string>> = {silu: 'swish'};

/**
 * The config of a layer as tfjs reads it: `batch_shape` is `batch_input_shape`, a dtype policy its dtype, and objects that say their module are
 * a class and its config.
 */
export function asTfjsConfig(config: JsonObject): JsonObject {
  const entries = Object.entries(config).map(([key, value]): [string, Json] => {
    if (key === 'batch_shape') return ['batch_input_shape', value];
    if (key === 'dtype') return [key, dtypeOf(value)];
    if (key === 'activation' && typeof value === 'string') return [key, activations[value] ?? value];
    if (key === 'seed' && typeof value !== 'number') return [key, null]; // a generator, in Keras 3
    return [key, asTfjs(value)];
  });
  return Object.fromEntries(entries);
}

function asTfjs(value: Json): Json {
  if (isArray(value)) return value.map(asTfjs);
  if (!isObject(value)) return value;
  const className = textOf(value, 'class_name');
  if (className === undefined || !isObject(value['config'])) return value;
  const {module: _module, registered_name: _name, build_config: _build, ...others} = value;
  return {
    ...others,
    class_name: classNames[className] ?? className,
    config: asTfjsConfig(value['config']),
  };
}

/** tfjs computes in float32, whatever the policy is, and counts in int32. */
function dtypeOf(value: Json): Json {
  const policy = isObject(value) && isObject(value['config']) ? (value['config']['name'] ?? null) : value;
  if (typeof policy !== 'string') return 'float32';
  if (/float/.test(policy)) return 'float32';
  return /int/.test(policy) ? 'int32' : policy;
}
