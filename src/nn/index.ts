// Networks and their parameters.
export { type ActivationName, activate, activationNames } from "./activations.ts";
export { type ClassifierConfig, classifier, readClassifierConfig } from "./classifier.ts";
export { type DitConfig, dit, readDitConfig } from "./dit.ts";
export { fourier, sinusoid, timestepMlp } from "./embed.ts";
export { initialize } from "./initialize.ts";
export { conv2d, embedding, groupNorm, layerNorm, linear } from "./layers.ts";
export { type MlpConfig, mlp, readMlpConfig } from "./mlp.ts";
export { buildNetwork, collect, type Network, type NetworkSpec } from "./network.ts";
export {
  describeOnnx,
  type OnnxConfig,
  type OnnxHints,
  type OnnxNetwork,
  onnxNetwork,
  WEIGHTS_FILE,
} from "./onnxNetwork.ts";
export {
  checkNames,
  collectParams,
  countParams,
  type ExternalArray,
  flatten,
  fromConstants,
  fromExternal,
  fromFlat,
  fromParts,
  fromTensors,
  type Init,
  type ParamArray,
  type ParamMap,
  type ParamSpec,
  type Params,
  tapped,
  unflatten,
  within,
} from "./params.ts";
export { unet2d } from "./unet2d.ts";
export { type UNetCondition, unet2dCondition } from "./unet2dCondition.ts";
export { readUNet2DConditionConfig, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";
export { readUNet2DConfig, type UNet2DConfig } from "./unet2dConfig.ts";
export { modernName, toParams } from "./weights.ts";
