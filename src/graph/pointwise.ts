// Elementwise operators with broadcasting.

import { type Emitter, float } from "./emitter.ts";
import { sumTo } from "./reduce.ts";
import { cast } from "./shape.ts";
import { asTensor, broadcastShapes, expectFloat, type Operand, operator, registerAdd, type Tensor } from "./tensor.ts";
import { emitSign, emitSine } from "./webgpu.ts";

/** An elementwise function of one tensor: `derivative(x, y)` is dy/dx. */
function unary(
  name: string,
  onnx: string,
  derivative: (x: Tensor, y: Tensor) => Operand,
  onWebgpu?: (to: Emitter, x: string) => string,
): (x: Operand) => Tensor {
  const apply = operator<Record<string, never>>({
    name,
    infer: ([x]) => {
      expectFloat(name, x);
      return [{ shape: x.shape, dtype: "float32" }];
    },
    emit: (to, [x]) => [to.device === "webgpu" && onWebgpu ? onWebgpu(to, x) : to.op(onnx, [x])],
    vjp: ([ct], node) => [ct && mul(ct, derivative(node.inputs[0], node.outputs[0]))],
    jvp: ([tangent], node) => [tangent && mul(tangent, derivative(node.inputs[0], node.outputs[0]))],
  });
  return (x) => apply([asTensor(x)], {})[0];
}

/** −x, elementwise. */
export const neg = unary("neg", "Neg", () => -1);
/** eˣ, elementwise. */
export const exp = unary("exp", "Exp", (_, y) => y);
/** The natural logarithm, elementwise. */
export const log = unary("log", "Log", (x) => reciprocal(x));
/** √x, elementwise. */
export const sqrt = unary("sqrt", "Sqrt", (_, y) => div(0.5, y));
/** 1/x, elementwise. */
export const reciprocal = unary("reciprocal", "Reciprocal", (_, y) => neg(mul(y, y)));
/** Elementwise. */
export const tanh = unary("tanh", "Tanh", (_, y) => sub(1, mul(y, y)));
/** 1/(1 + e^−x), elementwise. */
export const sigmoid = unary("sigmoid", "Sigmoid", (_, y) => mul(y, sub(1, y)));
/** d erf/dx = 2/√π · exp(−x²). */
export const erf = unary("erf", "Erf", (x) => mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x)))));
/** Elementwise, of radians. */
export const sin = unary(
  "sin",
  "Sin",
  (x) => cos(x),
  (to, x) => emitSine(to, x, 0),
);
/** Elementwise, of radians. */
export const cos = unary(
  "cos",
  "Cos",
  (x) => neg(sin(x)),
  (to, x) => emitSine(to, x, 0.5),
);
/** −1, 0 or 1, elementwise; its derivative is 0. */
export const sign = unary("sign", "Sign", () => 0, emitSign);
/** |x|, elementwise; its derivative at 0 is 0. */
export const abs = unary("abs", "Abs", (x) => sign(x));
/** ln(1 + eˣ), elementwise. */
export const softplus = unary("softplus", "Softplus", (x) => sigmoid(x));
/** 1/√x, elementwise. */
export const rsqrt = (x: Operand): Tensor => reciprocal(sqrt(x));
/** x², elementwise. */
export const square = (x: Operand): Tensor => mul(x, x);

type Pair = readonly [Tensor, Tensor];

function binary(
  name: string,
  onnx: string,
  vjp: (ct: Tensor, ab: Pair, y: Tensor, need: readonly boolean[]) => readonly [Tensor | null, Tensor | null],
  jvp: "multilinear" | ((da: Tensor | null, db: Tensor | null, ab: Pair, y: Tensor) => Tensor | null),
): (a: Operand, b: Operand) => Tensor {
  const apply = operator<Record<string, never>>({
    name,
    infer: ([a, b]) => {
      expectFloat(name, a, b);
      return [{ shape: broadcastShapes(a.shape, b.shape, name), dtype: "float32" }];
    },
    emit: (to, ab) => [to.op(onnx, ab)],
    vjp: ([ct], node, _, need) => {
      if (!ct) return [null, null];
      const [a, b] = node.inputs;
      const [da, db] = vjp(ct, [a, b], node.outputs[0], need);
      return [need[0] && da ? sumTo(da, a.shape) : null, need[1] && db ? sumTo(db, b.shape) : null];
    },
    jvp:
      jvp === "multilinear"
        ? jvp
        : ([da, db], node) => {
            const [a, b] = node.inputs;
            const y = node.outputs[0];
            const tangent = jvp(da, db, [a, b], y);
            // A tangent of one operand alone may be smaller than the output.
            return [tangent && broadcastLike(tangent, y)];
          },
  });
  return (a, b) => apply([asTensor(a), asTensor(b)], {})[0];
}

const broadcastLike = (x: Tensor, y: Tensor): Tensor =>
  x.shape.length === y.shape.length && x.shape.every((d, i) => d === y.shape[i]) ? x : add(x, mul(y, 0));

const plus = (a: Tensor | null, b: Tensor | null): Tensor | null => (a && b ? add(a, b) : (a ?? b));

/** a + b. Shapes are broadcast to each other, as in NumPy; throws RangeError where they do not fit. */
export const add = binary(
  "add",
  "Add",
  (ct) => [ct, ct],
  (da, db) => plus(da, db),
);
registerAdd((a, b) => add(a, b));

/** a − b, broadcast as in `add`. */
export const sub = binary(
  "sub",
  "Sub",
  (ct, _, __, need) => [ct, need[1] ? neg(ct) : null],
  (da, db) => (da && db ? sub(da, db) : (da ?? (db && neg(db)))),
);
/** a·b, broadcast as in `add`. */
export const mul = binary(
  "mul",
  "Mul",
  (ct, [a, b], _, need) => [need[0] ? mul(ct, b) : null, need[1] ? mul(ct, a) : null],
  "multilinear",
);
/** a/b, broadcast as in `add`. */
export const div = binary(
  "div",
  "Div",
  (ct, [, b], y, need) => {
    const da = div(ct, b);
    return [da, need[1] ? neg(mul(da, y)) : null];
  },
  (da, db, [, b], y) => plus(da && div(da, b), db && neg(div(mul(db, y), b))),
);
/** Ties go to the first operand. */
export const maximum = binary(
  "maximum",
  "Max",
  (ct, [a, b]) => choose(ct, cast(greaterEqual(a, b), "float32")),
  (da, db, [a, b]) => blend(da, db, cast(greaterEqual(a, b), "float32")),
);
/** Ties go to the first operand. */
export const minimum = binary(
  "minimum",
  "Min",
  (ct, [a, b]) => choose(ct, cast(lessEqual(a, b), "float32")),
  (da, db, [a, b]) => blend(da, db, cast(lessEqual(a, b), "float32")),
);
const choose = (ct: Tensor, first: Tensor): readonly [Tensor, Tensor] => [mul(ct, first), mul(ct, sub(1, first))];
const blend = (da: Tensor | null, db: Tensor | null, first: Tensor): Tensor | null =>
  plus(da && mul(da, first), db && mul(db, sub(1, first)));

const powTensor = binary(
  "pow_tensor",
  "Pow",
  (ct, [a, b], y, need) => [
    need[0] ? mul(ct, mul(b, powTensor(a, sub(b, 1)))) : null,
    need[1] ? mul(ct, mul(y, log(a))) : null,
  ],
  (da, db, [a, b], y) => plus(da && mul(da, mul(b, powTensor(a, sub(b, 1)))), db && mul(db, mul(y, log(a)))),
);

const powScalar = operator<{ exponent: number }>({
  name: "pow",
  infer: ([x]) => {
    expectFloat("pow", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x], { exponent }) => [to.op("Pow", [x, to.floats([exponent], [])])],
  vjp: ([ct], { inputs: [x] }, { exponent }) => [ct && mul(ct, mul(exponent, pow(x, exponent - 1)))],
  jvp: ([tangent], { inputs: [x] }, { exponent }) => [tangent && mul(tangent, mul(exponent, pow(x, exponent - 1)))],
});

/** x to a fixed or a tensor power. A tensor power needs a positive x for its gradient. */
export function pow(x: Operand, exponent: Operand): Tensor {
  if (typeof exponent !== "number") return powTensor(x, exponent);
  const base = asTensor(x);
  if (exponent === 1) return base;
  if (exponent === 2) return mul(base, base);
  if (exponent === 0.5) return sqrt(base);
  if (exponent === -1) return reciprocal(base);
  return powScalar([base], { exponent })[0];
}

function comparison(name: string, onnx: string): (a: Operand, b: Operand) => Tensor {
  const apply = operator<Record<string, never>>({
    name,
    infer: ([a, b]) => [{ shape: broadcastShapes(a.shape, b.shape, name), dtype: "bool" }],
    emit: (to, ab) => [to.op(onnx, ab)],
    vjp: () => [null, null],
    jvp: "none",
  });
  return (a, b) => apply([asTensor(a), asTensor(b)], {})[0];
}
/** a < b as bools, broadcast as in `add`. */
export const less = comparison("less", "Less");
/** a <= b as bools, broadcast as in `add`. */
export const lessEqual = comparison("less_equal", "LessOrEqual");
/** a > b as bools, broadcast as in `add`. */
export const greater = comparison("greater", "Greater");
/** a >= b as bools, broadcast as in `add`. */
export const greaterEqual = comparison("greater_equal", "GreaterOrEqual");
/** a = b as bools, broadcast as in `add`. */
export const equal = comparison("equal", "Equal");

const whereOp = operator<Record<string, never>>({
  name: "where",
  infer: ([cond, a, b]) => {
    if (cond.dtype !== "bool") throw new TypeError(`where: the condition must be bool, got ${cond.dtype}.`);
    const shape = broadcastShapes(cond.shape, broadcastShapes(a.shape, b.shape, "where"), "where");
    return [{ shape, dtype: a.dtype }];
  },
  emit: (to, [cond, a, b]) => [to.op("Where", [cond, a, b])],
  vjp: ([ct], { inputs: [cond, a, b] }, _, need) =>
    ct
      ? [null, need[1] ? sumTo(where(cond, ct, 0), a.shape) : null, need[2] ? sumTo(where(cond, 0, ct), b.shape) : null]
      : [null, null, null],
  jvp: ([, da, db], { inputs: [cond], outputs: [y] }) => [
    da || db ? broadcastLike(where(cond, da ?? 0, db ?? 0), y) : null,
  ],
});
/** a where `cond` (bools) holds, else b; all three are broadcast to each other. */
export const where = (cond: Tensor, a: Operand, b: Operand): Tensor => whereOp([cond, asTensor(a), asTensor(b)], {})[0];

const clampOp = operator<{ min: number; max: number }>({
  name: "clamp",
  infer: ([x]) => [{ shape: x.shape, dtype: "float32" }],
  emit: (to, [x], { min, max }) => [to.op("Clip", [x, to.floats([min], []), to.floats([max], [])])],
  vjp: ([ct], { inputs: [x], outputs: [y] }) => [ct && where(equal(x, y), ct, 0)],
  jvp: ([tangent], { inputs: [x], outputs: [y] }) => [tangent && where(equal(x, y), tangent, 0)],
});
/** Limits x to [min, max]; either may be left out. */
export const clamp = (x: Tensor, { min = -3.4e38, max = 3.4e38 }: { min?: number; max?: number }): Tensor =>
  clampOp([x], { min, max })[0];

const logicalNot = operator<Record<string, never>>({
  name: "not",
  infer: ([x]) => [{ shape: x.shape, dtype: "bool" }],
  emit: (to, [x]) => [to.op("Not", [x])],
  vjp: () => [null],
  jvp: "none",
});
/** The opposite of bools. */
export const not = (x: Tensor): Tensor => logicalNot([x], {})[0];

const sigmoidGate = operator<{ alpha: number }>({
  name: "sigmoid_gate",
  infer: ([x]) => {
    expectFloat("silu", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x], { alpha }) => [to.op("ms.QuickGelu", [x], { alpha: float(alpha) })],
  vjp: ([ct], { inputs: [x], outputs: [y] }, { alpha }) => [ct && mul(ct, gateDerivative(x, y, alpha))],
  jvp: ([tangent], { inputs: [x], outputs: [y] }, { alpha }) => [tangent && mul(tangent, gateDerivative(x, y, alpha))],
});
/** d/dx x·s(αx) = s + α·y·(1 − s) with y = x·s. */
const gateDerivative = (x: Tensor, y: Tensor, alpha: number): Tensor => {
  const s = sigmoid(alpha === 1 ? x : mul(x, alpha));
  // s + αy − αys, grouped so that for α = 1 it is y + s·(1 − y): one pass fewer.
  return alpha === 1 ? add(y, mul(s, sub(1, y))) : add(s, mul(mul(y, alpha), sub(1, s)));
};
/** x·sigmoid(alpha·x): SiLU for alpha = 1, QuickGELU for 1.702. One pass over memory. */
export const gate = (x: Tensor, alpha: number): Tensor => sigmoidGate([x], { alpha })[0];
