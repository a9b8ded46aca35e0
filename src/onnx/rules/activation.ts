// Activations: whole operators of ONNX, and of ONNX Runtime.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, maybe, number, type Rules, rule, text } from "../call.ts";
import { leakyRelu, relu } from "../operators.ts";
import { unary } from "./pointwise.ts";

const approximation = (name: string): "none" | "tanh" => (name === "tanh" ? "tanh" : "none");
/** f for x above zero, `below` elsewhere; `below` sees no positive values, whose exponentials could overflow. */
const pieces = (x: Tensor, above: Tensor, below: (x: Tensor) => Tensor): Tensor =>
  g.where(g.greater(x, 0), above, below(g.minimum(x, 0)));
const hardSigmoid = (x: Tensor, alpha: number, beta: number): Tensor =>
  g.clamp(g.add(g.mul(x, alpha), beta), { min: 0, max: 1 });
const biased = (x: Tensor, bias: Tensor | undefined): Tensor => (bias ? g.add(x, bias) : x);

export const activation: Rules = {
  Sigmoid: unary(g.sigmoid, (x) => 1 / (1 + Math.exp(-x))),
  Tanh: unary(g.tanh, Math.tanh),
  Relu: unary(relu, (x) => Math.max(x, 0)),
  Softplus: unary(g.softplus),
  Softsign: unary((x) => g.div(x, g.add(1, g.abs(x)))),
  Mish: unary((x) => g.mul(x, g.tanh(g.softplus(x)))),
  HardSwish: unary((x) => g.mul(x, hardSigmoid(x, 1 / 6, 0.5))),
  Swish: rule("alpha", (call) => g.gate(at(call, 0), number(call, "alpha", 1))),
  Gelu: rule("approximate", (call) => g.gelu(at(call, 0), approximation(text(call, "approximate", "none")))),
  LeakyRelu: rule("alpha", (call) => leakyRelu(at(call, 0), number(call, "alpha", 0.01))),
  PRelu: rule("", (call) => pieces(at(call, 0), at(call, 0), (x) => g.mul(x, at(call, 1)))),
  HardSigmoid: rule("alpha beta", (call) =>
    hardSigmoid(at(call, 0), number(call, "alpha", 0.2), number(call, "beta", 0.5)),
  ),
  ThresholdedRelu: rule("alpha", (call) => {
    const x = at(call, 0);
    return g.where(g.greater(x, number(call, "alpha", 1)), x, 0);
  }),
  Elu: rule("alpha", (call) => {
    const alpha = number(call, "alpha", 1);
    return pieces(at(call, 0), at(call, 0), (x) => g.mul(g.sub(g.exp(x), 1), alpha));
  }),
  Celu: rule("alpha", (call) => {
    const alpha = number(call, "alpha", 1);
    return pieces(at(call, 0), at(call, 0), (x) => g.mul(g.sub(g.exp(g.div(x, alpha)), 1), alpha));
  }),
  Selu: rule("alpha gamma", (call) => {
    const [alpha, gamma] = [number(call, "alpha", 1.6732632), number(call, "gamma", 1.050701)];
    return g.mul(
      pieces(at(call, 0), at(call, 0), (x) => g.mul(g.sub(g.exp(x), 1), alpha)),
      gamma,
    );
  }),
  "com.microsoft.Gelu": rule("", (call) => g.gelu(at(call, 0))),
  "com.microsoft.FastGelu": rule("", (call) => g.gelu(biased(at(call, 0), maybe(call, 1)), "tanh")),
  "com.microsoft.BiasGelu": rule("", (call) => g.gelu(biased(at(call, 0), maybe(call, 1)))),
  "com.microsoft.QuickGelu": rule("alpha", (call) => g.gate(at(call, 0), number(call, "alpha", 1.702))),
};

/** Activations that ONNX Runtime fuses into other operators, by the name it gives them. */
export const fusedActivations = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid"] as const;
export function fused(y: Tensor, name: string, params: readonly number[]): Tensor {
  if (name === "Relu") return relu(y);
  if (name === "Sigmoid") return g.sigmoid(y);
  if (name === "Tanh") return g.tanh(y);
  if (name === "LeakyRelu") return leakyRelu(y, params[0] ?? 0.01);
  if (name === "Clip") return g.clamp(y, { min: params[0], max: params[1] });
  if (name === "HardSigmoid") return hardSigmoid(y, params[0] ?? 0.2, params[1] ?? 0.5);
  return y;
}
