// The numbers of diffusion: rows, forms, predictions, windows, grids, time laws, weights. Float64, no dependencies.
export { chord } from "./chord.ts";
export { type Form, type FormSpec, logSnr, type TableSpec } from "./form.ts";
export { cosine, edm, linear, subVp, ve, vp } from "./forms.ts";
export {
  checkGrid,
  type Grid,
  karrasGrid,
  logSnrGrid,
  quadraticGrid,
  type Spacing,
  type Span,
  shiftedGrid,
  spacedGrid,
  stepsPerWindow,
  uniformGrid,
  windowGrid,
} from "./grid.ts";
export {
  coefficients,
  diffEps,
  edmPrediction,
  edmWith,
  eps,
  type Prediction,
  type PredictionName,
  predictionNames,
  score,
  velocity,
  vPrediction,
  x0,
} from "./prediction.ts";
export { normalQuantile } from "./quantile.ts";
export { conditioning, det, type Row, transfer } from "./row.ts";
export {
  formFromSpec,
  type PredictionSpec,
  predictionByName,
  predictionFromSpec,
  predictionSpec,
  windowsFromSpec,
} from "./spec.ts";
export { startScale } from "./start.ts";
export {
  betas,
  cumulativeAlphas,
  type Schedule,
  type TableForm,
  type TableOptions,
  table,
  zeroTerminalSnr,
} from "./table.ts";
export {
  discrete,
  logitNormal,
  logNormalNsr,
  normalCdf,
  shifted,
  stratified,
  type TimeLaw,
  uniform,
  withAtoms,
} from "./times.ts";
export {
  constant,
  edmWeight,
  minSnr,
  reciprocal,
  snr,
  snrPlusOne,
  truncatedSnr,
  type Weight,
  windowStart,
} from "./weights.ts";
export { tickWindows, uniformWindows, type Window, type Windows, type WindowsSpec } from "./windows.ts";
