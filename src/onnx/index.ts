// Models of others: ONNX files as functions on symbolic tensors.
export type { Places } from "./detach.ts";
export type { Described } from "./file.ts";
export {
  externalFiles,
  type ImportOptions,
  importOnnx,
  type OnnxModel,
  type OnnxParameter,
  type ParameterSource,
} from "./importOnnx.ts";
export { rules } from "./rules/index.ts";
export type { ExternalData } from "./tensors.ts";
