// The symbolic tensor language: tensors, operators, derivatives.

export * from "./activation.ts";
export * from "./attention.ts";
export * from "./autodiff.ts";
export { checkpoint } from "./checkpoint.ts";
export * from "./conv.ts";
export { type Device, type EmittedModel, emitModel, type Outputs, type Precision } from "./emitter.ts";
export * from "./indexing.ts";
export * from "./loss.ts";
export { bmm, linear, matmul } from "./matmul.ts";
export { estimateMemory, type MemoryEstimate } from "./memory.ts";
export * from "./norm.ts";
export * from "./pointwise.ts";
export * from "./reduce.ts";
export * from "./resample.ts";
export * from "./shape.ts";
export * from "./softmax.ts";
export {
  asTensor,
  constant,
  type DType,
  type ExternalPlace,
  external,
  full,
  input,
  inputParts,
  type Operand,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorData,
  zeros,
  zerosLike,
} from "./tensor.ts";
