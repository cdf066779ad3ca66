import * as tf from '@tensorflow/tfjs';

/**
 * Runs what makes variables, such as the layers of a model. If it throws, because there is no memory left for the next one, those that it
 * made are disposed of: nobody else can.
 */
export function disposingNewVariables<Made>(make: () => Made): Made {
  const {registeredVariables} = tf.engine().state;
  const former = new Set(Object.values(registeredVariables));
  try {
    return make();
  } catch (error) {
    for (const variable of Object.values(registeredVariables)) {
      if (!former.has(variable)) variable.dispose();
    }
    throw error;
  }
}
