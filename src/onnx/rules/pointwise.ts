// Elementwise operators: arithmetic, comparisons, logic. Known arrays are computed at once.

import type { Operand, Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { type Call, DTYPES, int, number, type Rule, type Rules, rule, value } from "../call.ts";
import { mapHost } from "../host.ts";
import { ceil, floor, round } from "../operators.ts";
import { cast, expandBoth, isHost, operand, tensor, type Value } from "../value.ts";
import { product } from "./fuse.ts";
import { quotient, sum } from "./fuseNorm.ts";

/** A function of one tensor, of integers by way of floats; `onHost` where it can be computed on numbers. */
export const unary = (symbolic: (x: Tensor) => Tensor, onHost?: (x: number) => number): Rule =>
  rule("", (call) => {
    const x = value(call, 0);
    if (isHost(x) && onHost) return mapHost(x.dtype, onHost, x);
    return x.dtype === "int64" ? cast(symbolic(tensor(cast(x, "float32"))), x.dtype) : symbolic(tensor(x));
  });

type Arithmetic = (a: Operand, b: Operand) => Tensor;

/** Integers that are not known until the model runs are computed as floats: exact below 2^24. */
function combine(f: Arithmetic, onHost: (a: number, b: number) => number, a: Value, b: Value): Value {
  if (isHost(a) && isHost(b)) return mapHost(a.dtype, onHost, a, b);
  if (a.dtype === "float32") return f(operand(a), operand(b));
  return cast(f(tensor(cast(a, "float32")), tensor(cast(b, "float32"))), a.dtype);
}
const binary = (f: Arithmetic, onHost: (a: number, b: number) => number): Rule =>
  rule("", (call) => combine(f, onHost, value(call, 0), value(call, 1)));

const variadic = (f: Arithmetic, onHost: (a: number, b: number) => number): Rule =>
  rule("", (call) => reduce(f, onHost, call));
const reduce = (f: Arithmetic, onHost: (a: number, b: number) => number, call: Call): Value =>
  call.inputs.map((_, i) => value(call, i)).reduce((a, b) => combine(f, onHost, a, b));

function divide(call: Call): Value {
  const [a, b] = [value(call, 0), value(call, 1)];
  if (a.dtype === "float32") return combine(quotient, (x, y) => x / y, a, b);
  return combine(towardZero, (x, y) => Math.trunc(x / y), a, b);
}
const towardZero: Arithmetic = (a, b) => {
  const q = g.div(a, b);
  return g.mul(g.sign(q), floor(g.abs(q)));
};

function modulo(call: Call): Value {
  const [a, b] = [value(call, 0), value(call, 1)];
  if (int(call, "fmod", 0) === 1)
    return combine(
      (x, y) => g.sub(x, g.mul(towardZero(x, y), y)),
      (x, y) => x % y,
      a,
      b,
    );
  return combine(
    (x, y) => g.sub(x, g.mul(floor(g.div(x, y)), y)),
    (x, y) => x - Math.floor(x / y) * y,
    a,
    b,
  );
}

function power(call: Call): Value {
  const [a, b] = [value(call, 0), cast(value(call, 1), "float32")];
  if (isHost(a) && isHost(b)) return mapHost(a.dtype, (x, y) => x ** y, a, b);
  const exponent = isHost(b) && b.data.length === 1 && b.shape.length <= a.shape.length ? b.data[0] : tensor(b);
  return g.pow(tensor(cast(a, "float32")), exponent);
}

const compare = (f: Arithmetic, onHost: (a: number, b: number) => boolean): Rule =>
  rule("", (call) => {
    const [a, b] = [value(call, 0), value(call, 1)];
    if (isHost(a) && isHost(b)) return mapHost("bool", (x, y) => (onHost(x, y) ? 1 : 0), a, b);
    // Bools have an order in no kernel, and equality not in every one.
    if (a.dtype === "bool") return f(tensor(cast(a, "float32")), tensor(cast(b, "float32")));
    return f(operand(a), operand(b));
  });

/** Logic on 0 and 1. */
const logic = (f: Arithmetic, onHost: (a: number, b: number) => number): Rule =>
  rule("", (call) => combine(f, onHost, value(call, 0), value(call, 1)));

function not(call: Call): Value {
  const x = value(call, 0);
  return isHost(x) ? mapHost("bool", (v) => 1 - v, x) : g.not(x);
}

function where(call: Call): Value {
  const [cond, a, b] = [value(call, 0), value(call, 1), value(call, 2)];
  if (!isHost(cond)) return g.where(cond, operand(a), operand(b));
  if (isHost(a) && isHost(b)) return mapHost(a.dtype, (c, x, y) => (c !== 0 ? x : y), cond, a, b);
  const all = cond.data.every((c) => c === cond.data[0]);
  if (!all) return g.where(tensor(cond), operand(a), operand(b));
  const [taken, other] = cond.data[0] !== 0 ? [a, b] : [b, a];
  return expandBoth(expandBoth(taken, other.shape), cond.shape);
}

/** The limits may be computed by the model. Where they cross, the upper one holds, as ONNX Runtime has it. */
function clip(call: Call): Value {
  const limit = (i: number, name: string, missing: number): number | Tensor => {
    const given = call.inputs[i];
    if (given === undefined) return number(call, name, missing);
    if (sizeOf(given.shape) !== 1)
      throw new RangeError(`its limit ${name} has shape [${given.shape}]; expected one number.`);
    return isHost(given) ? given.data[0] : g.reshape(g.cast(given, "float32"), []);
  };
  const [min, max] = [limit(1, "min", Number.NEGATIVE_INFINITY), limit(2, "max", Number.POSITIVE_INFINITY)];
  const x = value(call, 0);
  if (typeof min === "number" && typeof max === "number") {
    if (isHost(x)) return mapHost(x.dtype, (v) => Math.min(max, Math.max(min, v)), x);
    return cast(g.clamp(g.cast(x, "float32"), { min: Math.max(min, -3.4e38), max: Math.min(max, 3.4e38) }), x.dtype);
  }
  const raised =
    min === Number.NEGATIVE_INFINITY ? tensor(cast(x, "float32")) : g.maximum(tensor(cast(x, "float32")), min);
  return cast(max === Number.POSITIVE_INFINITY ? raised : g.minimum(raised, max), x.dtype);
}

function castTo(call: Call): Value {
  const to = DTYPES[int(call, "to", 0)];
  if (!to) throw new RangeError(`it casts to type ${int(call, "to", 0)}, which is not supported.`);
  return cast(value(call, 0), to);
}

/** Halves to the even neighbor. */
const roundEven = (x: number): number => {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
};

const identity = rule("", (call) => value(call, 0));

export const pointwise: Rules = {
  Neg: unary(g.neg, (x) => -x),
  Exp: unary(g.exp, Math.exp),
  Log: unary(g.log, Math.log),
  Sqrt: unary(g.sqrt, Math.sqrt),
  Reciprocal: unary(g.reciprocal, (x) => 1 / x),
  Abs: unary(g.abs, Math.abs),
  Sign: unary(g.sign, Math.sign),
  Erf: unary(g.erf),
  Sin: unary(g.sin, Math.sin),
  Cos: unary(g.cos, Math.cos),
  Floor: unary(floor, Math.floor),
  Ceil: unary(ceil, Math.ceil),
  Round: unary(round, roundEven),
  Add: binary(sum, (a, b) => a + b),
  Sub: binary(g.sub, (a, b) => a - b),
  Mul: binary(product, (a, b) => a * b),
  Div: rule("", divide),
  Mod: rule("fmod", modulo),
  Pow: rule("", power),
  Min: variadic(g.minimum, Math.min),
  Max: variadic(g.maximum, Math.max),
  Sum: variadic(g.add, (a, b) => a + b),
  Mean: rule("", (call) =>
    combine(
      g.div,
      (a, b) => a / b,
      reduce(g.add, (a, b) => a + b, call),
      {
        dtype: "float32",
        shape: [],
        data: Float32Array.of(call.inputs.length),
      },
    ),
  ),
  Equal: compare(g.equal, (a, b) => a === b),
  Less: compare(g.less, (a, b) => a < b),
  LessOrEqual: compare(g.lessEqual, (a, b) => a <= b),
  Greater: compare(g.greater, (a, b) => a > b),
  GreaterOrEqual: compare(g.greaterEqual, (a, b) => a >= b),
  And: logic(g.mul, (a, b) => a * b),
  Or: logic(g.maximum, Math.max),
  Xor: logic(
    (a, b) => g.abs(g.sub(a, b)),
    (a, b) => Math.abs(a - b),
  ),
  Not: rule("", not),
  Where: rule("", where),
  Clip: rule("min max", clip),
  Cast: rule("to saturate", castTo),
  CastLike: rule("saturate", (call) => cast(value(call, 0), value(call, 1).dtype)),
  Identity: identity,
};
