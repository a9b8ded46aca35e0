// Shape arithmetic and constants: computed while importing.

import * as g from "../../graph/index.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { type Call, DTYPES, int, isArray, isGraph, known, type Rules, rule, value } from "../call.ts";
import { type Host, host, ints, stridesOf } from "../host.ts";
import { atMost } from "../limits.ts";
import { axisIn, cast, isHost, tensor, transpose, type Value } from "../value.ts";
import { fromEnd } from "./movement.ts";

function constant({ attrs }: Call): Value {
  const entry = (name: string) => attrs.get(name);
  const array = entry("value");
  if (isArray(array)) return array;
  const [int1, float1] = [entry("value_int"), entry("value_float")];
  if (typeof int1 === "number") return ints([int1], []);
  if (typeof float1 === "number") return host("float32", [], [float1]);
  const numbers = (x: unknown): x is readonly number[] => Array.isArray(x);
  const [many, floats] = [entry("value_ints"), entry("value_floats")];
  if (numbers(many)) return ints(many);
  if (numbers(floats)) return host("float32", [floats.length], floats);
  throw new RangeError("it has no value that is a number or an array of numbers.");
}

function shape(call: Call): Value {
  const dims = value(call, 0).shape;
  const place = (v: number) => Math.min(dims.length, Math.max(0, v < 0 ? v + dims.length : v));
  return ints(dims.slice(place(int(call, "start", 0)), place(int(call, "end", dims.length))));
}

function filled(call: Call): Value {
  const dims = atMost(Array.from(known(call, 0).data));
  const given = call.attrs.get("value");
  const { dtype, data } = isArray(given) ? given : { dtype: "float32" as const, data: [0] };
  const size = sizeOf(dims);
  return host(dtype, dims, (dtype === "float32" ? new Float32Array(size) : new Float64Array(size)).fill(data[0]));
}

function range(call: Call): Value {
  const [start, limit, step] = [known(call, 0), known(call, 1), known(call, 2)].map(({ data }) => data[0]);
  const length = Math.max(0, Math.ceil((limit - start) / step));
  atMost([length]);
  const { dtype } = known(call, 0);
  return host(
    dtype,
    [length],
    Float64Array.from({ length }, (_, i) => start + i * step),
  );
}

/** Keeps what lies on or above (upper) or below the k-th diagonal of the last two dimensions. */
function triangle(call: Call): Value {
  const x = value(call, 0);
  const k = call.inputs[1] === undefined ? 0 : known(call, 1).data[0];
  const [rows, columns] = x.shape.slice(-2);
  const upper = int(call, "upper", 1) === 1;
  atMost([rows, columns]);
  const keep = (i: number): boolean => {
    const offset = (i % columns) - Math.floor(i / columns);
    return upper ? offset >= k : offset <= k;
  };
  if (isHost(x)) {
    const matrix = rows * columns;
    return host(x.dtype, x.shape, x.data.map((v, i) => (keep(i % matrix) ? v : 0)) as Host["data"]);
  }
  const mask = Float32Array.from({ length: rows * columns }, (_, i) => (keep(i) ? 1 : 0));
  return cast(g.mul(tensor(cast(x, "float32")), g.constant(mask, [rows, columns])), x.dtype);
}

function cumulative(call: Call): Value {
  const x = value(call, 0);
  const axis = axisIn(x, known(call, 1).data[0]);
  const reverse = int(call, "reverse", 0) === 1;
  const exclusive = int(call, "exclusive", 0) === 1;
  if (isHost(x)) return cumulativeHost(x, axis, reverse, exclusive);
  const total: Tensor = g.cumsum(tensor(cast(x, "float32")), axis, reverse);
  return cast(exclusive ? g.sub(total, tensor(cast(x, "float32"))) : total, x.dtype);
}
function cumulativeHost(x: Host, axis: number, reverse: boolean, exclusive: boolean): Host {
  const out = x.data.slice();
  const step = stridesOf(x.shape)[axis];
  const n = x.shape[axis];
  for (let i = 0; i < out.length; i++) {
    if (Math.floor(i / step) % n !== 0) continue;
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const place = i + (reverse ? n - 1 - j : j) * step;
      out[place] = exclusive ? sum : sum + x.data[place];
      sum += x.data[place];
    }
  }
  return { ...x, data: out };
}

/** Indices of what is not zero, one column each. */
function nonZero(call: Call): Value {
  const x = known(call, 0);
  const strides = stridesOf(x.shape);
  const places: number[] = [];
  x.data.forEach((v, i) => {
    if (v !== 0) places.push(i);
  });
  const rows = places.flatMap((p) => strides.map((s, axis) => Math.floor(p / s) % x.shape[axis]));
  return transpose(host("int64", [places.length, x.shape.length], rows), [1, 0]);
}

function branch(call: Call): readonly Value[] {
  const taken = call.attrs.get(known(call, 0).data[0] !== 0 ? "then_branch" : "else_branch");
  if (!isGraph(taken)) throw new RangeError("it has no branch for its condition.");
  return call.inner(taken);
}

function identityMatrix(call: Call): Value {
  const [rows, columns] = atMost(value(call, 0).shape);
  const k = int(call, "k", 0);
  const dtype = DTYPES[int(call, "dtype", 0)] ?? value(call, 0).dtype;
  const values = Array.from({ length: rows * columns }, (_, i) =>
    (i % columns) - Math.floor(i / columns) === k ? 1 : 0,
  );
  return host(dtype, [rows, columns], values);
}

function oneHot(call: Call): Value {
  const depth = known(call, 1).data[0];
  const [off, on] = known(call, 2).data;
  atMost([sizeOf(value(call, 0).shape), depth]);
  const index = fromEnd(value(call, 0), depth);
  const flat = g.oneHot(g.flatten(index), depth);
  const hot = g.reshape(g.add(g.mul(flat, on - off), off), [...index.shape, depth]);
  const axis = int(call, "axis", -1);
  const place = axis < 0 ? axis + hot.shape.length : axis;
  const perm = index.shape.map((_, i) => i);
  const moved = g.transpose(hot, [...perm.slice(0, place), perm.length, ...perm.slice(place)]);
  return cast(moved, known(call, 2).dtype);
}

export const shapes: Rules = {
  Constant: rule("value value_int value_float value_ints value_floats", constant),
  ConstantOfShape: rule("value", filled),
  Shape: rule("start end", shape),
  Size: rule("", (call) => ints([sizeOf(value(call, 0).shape)], [])),
  Range: rule("", range),
  EyeLike: rule("dtype k", identityMatrix),
  OneHot: rule("axis", oneHot),
  NonZero: rule("", nonZero),
  Trilu: rule("upper", triangle),
  CumSum: rule("exclusive reverse", cumulative),
  If: rule("then_branch else_branch", branch),
};
