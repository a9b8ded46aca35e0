// Activation functions by the names that configurations use.
import { gelu, mul, relu, silu, softplus, type Tensor, tanh } from "../graph/index.ts";

export const activationNames = ["silu", "swish", "mish", "gelu", "relu"] as const;
export type ActivationName = (typeof activationNames)[number];

const functions: Record<ActivationName, (x: Tensor) => Tensor> = {
  silu,
  swish: silu,
  mish: (x) => mul(x, tanh(softplus(x))), // Misra 2019, x tanh(ln(1 + e^x))
  gelu: (x) => gelu(x, "none"),
  relu,
};

export const activate = (name: ActivationName, x: Tensor): Tensor => functions[name](x);
