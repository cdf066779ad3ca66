/** Models that Keras made. */
export type {KerasModelSource} from './artifacts.js';
export {type LoadKerasOptions, loadKerasModel} from './load_keras_model.js';
