/** Calibrated transforms of a model's cache, and how many bits each of their channels has. */
export type {
  DepthTransforms,
  SideTransform,
  TokenScales,
  TransformProfile,
  TransformSide,
} from './profile.js';
export type {CalibrationDrift, HeadDrift} from './drift.js';
export {registerProfile} from './of_model.js';
export {transformOf} from './transform_of.js';
export {
  type CodeWidth,
  type DepthWidths,
  type SideWidths,
  type TransformWidths,
  type WidthBudget,
  measuredWidths,
  predictedDivergences,
  widthsFor,
} from './widths.js';
