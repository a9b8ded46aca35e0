// Operators that imported models use and our own networks do not.

import { float } from "../graph/emitter.ts";
import { add, cast, greater, mul, type Operand, type Tensor } from "../graph/index.ts";
import { expectFloat, operator } from "../graph/tensor.ts";

function unary(onnx: string, derivative: (x: Tensor, y: Tensor) => Operand | null): (x: Tensor) => Tensor {
  const name = onnx.toLowerCase();
  const times = (d: Tensor | null, x: Tensor, y: Tensor): Tensor | null => {
    const slope = d && derivative(x, y);
    return d && slope !== null ? mul(d, slope) : null;
  };
  const apply = operator<Record<string, never>>({
    name,
    infer: ([x]) => {
      expectFloat(name, x);
      return [{ shape: x.shape, dtype: "float32" }];
    },
    emit: (to, [x]) => [to.op(onnx, [x])],
    vjp: ([ct], { inputs: [x], outputs: [y] }) => [times(ct, x, y)],
    jvp: ([tangent], { inputs: [x], outputs: [y] }) => [times(tangent, x, y)],
  });
  return (x) => apply([x], {})[0];
}

/** Its slope at 0 is 0, as PyTorch has it. */
export const relu = unary("Relu", (x) => cast(greater(x, 0), "float32"));
export const floor = unary("Floor", () => null);
export const ceil = unary("Ceil", () => null);
/** Halves go to the even neighbor. */
export const round = unary("Round", () => null);

const leaky = operator<{ alpha: number }>({
  name: "leaky_relu",
  infer: ([x]) => {
    expectFloat("leaky_relu", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x], { alpha }) => [to.op("LeakyRelu", [x], { alpha: float(alpha) })],
  vjp: ([ct], { inputs: [x] }, { alpha }) => [ct && mul(ct, leakySlope(x, alpha))],
  jvp: ([tangent], { inputs: [x] }, { alpha }) => [tangent && mul(tangent, leakySlope(x, alpha))],
});
const leakySlope = (x: Tensor, alpha: number): Tensor => add(mul(cast(greater(x, 0), "float32"), 1 - alpha), alpha);
/** x above zero, alpha·x elsewhere. */
export const leakyRelu = (x: Tensor, alpha: number): Tensor => leaky([x], { alpha })[0];
