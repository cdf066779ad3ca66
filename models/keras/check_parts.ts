import {ModelError} from '../../base/errors.js';
import {type PartKind, otherKindOf} from '../../layers/keras/serialized_parts.js';
import {type Json, type JsonObject, isArray, isObject, textOf} from './json.js';
import {layerName, layersOf} from './topology.js';

/**
 * Refuses a layer, say, in the place of a constraint: tfjs makes whatever class a config names, and fails when weights are set or trained.
 * @throws ModelError if the initializer, regularizer or constraint of a layer's weights is something else.
 */
export function checkParts(model: JsonObject): void {
  for (const layer of layersOf(model)) checkPart(layer, layerName(layer));
}

function checkPart(json: Json, layer: string): void {
  if (isArray(json)) for (const each of json) checkPart(each, layer);
  if (!isObject(json)) return;
  for (const [key, value] of Object.entries(json)) {
    const [, kind] = /_(constraint|initializer|regularizer)$/.exec(key) ?? [];
    const className = isObject(value) ? textOf(value, 'class_name') : value;
    if (kind !== undefined && typeof className === 'string') {
      const other = otherKindOf(className, kind as PartKind);
      if (other !== undefined) {
        throw new ModelError(
          `Layer "${layer}" says ${key} = ${className}, which is no ${kind} but ${other}. Export the model again.`,
        );
      }
    }
    checkPart(value, layer);
  }
}
