// Measuring samplers: metrics over streams of samples or features, and the features themselves.

export { type EndpointState, type Endpoints, endpoint, endpointDistances, gap, mergeEndpoints } from "./endpoint.ts";
export {
  type FeatureProtocol,
  type Features,
  type ForeignFeatureOptions,
  foreignFeatures,
  type ValueRange,
} from "./features.ts";
export { type FrechetOptions, frechet, frechetDistance, frechetFloor } from "./frechet.ts";
export { gather, type Measured, type Metric, measure, type Rows, rows } from "./metric.ts";
export {
  type BlockOptions,
  blockMmd,
  energyDistance,
  gaussianMmd,
  type Kernel,
  kid,
  type MmdOptions,
  mmd2,
} from "./mmd.ts";
export { type ClassifierCard, MNIST_FEATURES, type MnistClassifier, mnistClassifier } from "./mnistClassifier.ts";
export { addMoments, type Gaussian, gaussianOf, type Moments, mergeMoments, noMoments } from "./moments.ts";
export { type ManifoldOptions, precision, recall } from "./precisionRecall.ts";
export { onPlane, type Plane, principalPlane } from "./principalPlane.ts";
export { readReference, writeReference } from "./reference.ts";
export { type SlicedOptions, slicedWasserstein, wasserstein } from "./slicedWasserstein.ts";
export { type Curvature, type Path, type PathReport, pathReport } from "./trajectory.ts";
