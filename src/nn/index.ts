// Networks and their parameters.
export { type ActivationName, activate, activationNames } from "./activations.ts";
export { decodeLatents, encodeMoments, posterior } from "./autoencoderKl.ts";
export { type AutoencoderKlConfig, readAutoencoderKlConfig } from "./autoencoderKlConfig.ts";
export {
  type AutoencoderTinyConfig,
  decodeTiny,
  encodeTiny,
  readAutoencoderTinyConfig,
  scaleTiny,
} from "./autoencoderTiny.ts";
export { type ClassifierConfig, classifier, readClassifierConfig } from "./classifier.ts";
export { type ClipTextConfig, type ClipVisionConfig, readClipTextConfig, readClipVisionConfig } from "./clipConfig.ts";
export { type ClipTextOutput, clipText, poolingIndex, withoutPositionIds, withTokens } from "./clipText.ts";
export { clipImageEmbedding, clipVision, safetyChecker, unsafe } from "./clipVision.ts";
export { type Control, controlNet, guessStrengths, sumControls } from "./controlNet.ts";
export { type ControlNetConfig, readControlNetConfig } from "./controlNetConfig.ts";
export {
  autoencoderKlParams,
  autoencoderTinyParams,
  checkParams,
  clipTextParams,
  clipVisionParams,
  controlNetParams,
  safetyCheckerParams,
  t2iAdapterParams,
  unetParams,
} from "./diffusersParams.ts";
export { type DitConfig, dit, readDitConfig } from "./dit.ts";
export { fourier, sinusoid, timestepMlp } from "./embed.ts";
export { initialize } from "./initialize.ts";
export { type ImageProjection, type IpAdapter, imageTokens, readIpAdapter } from "./ipAdapter.ts";
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
export { readT2IAdapterConfig, type T2IAdapterConfig, t2iAdapter } from "./t2iAdapter.ts";
export { unet2d } from "./unet2d.ts";
export { type UNetCondition, unet2dCondition } from "./unet2dCondition.ts";
export { readUNet2DConditionConfig, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";
export { readUNet2DConfig, type UNet2DConfig } from "./unet2dConfig.ts";
export { modernName, toParams } from "./weights.ts";
