// Random nodes for every operator, by seed: shapes, attributes and the edges that single cases miss (sizes of 1 and 0,
// negative axes, steps and paddings, rounding up, dilations, values of special meaning).
import { TensorProto_DataType as DataType } from "onnx-buf";
import { fold, key, normal, randint } from "../../src/random.ts";
import { bools, floats, type Operand, stored, type TestAttr } from "./model.ts";

export interface RandomCase {
  readonly op: string;
  readonly operands: readonly (Operand | null)[];
  readonly attrs: Readonly<Record<string, TestAttr>>;
  readonly opset: number;
  readonly outputs?: number;
  readonly type?: DataType;
}

/** The case of an operator that belongs to a seed. */
export function randomCase(op: string, seed: number): RandomCase {
  const { opset = 17, attrs, ...rest } = randomCases[op](draws(op, seed));
  const given = Object.entries(attrs).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return { op, opset, attrs: Object.fromEntries(given), ...rest };
}

/** Draws that follow from a seed. */
export interface Draw {
  /** A whole number from low to high, both included. */
  int(low: number, high: number): number;
  pick<T>(list: readonly T[]): T;
  chance(p: number): boolean;
  list<T>(length: number, make: (i: number) => T): T[];
  shuffled<T>(list: readonly T[]): T[];
  normal(size: number): Float32Array;
}

function draws(op: string, seed: number): Draw {
  let k = fold(key(77), seed);
  for (const letter of op) k = fold(k, letter.charCodeAt(0));
  let n = 0;
  const below = (m: number) => Number(randint(fold(k, n++), 1, m)[0]);
  const d: Draw = {
    int: (low, high) => low + below(high - low + 1),
    pick: (list) => list[below(list.length)],
    chance: (p) => below(1000) < p * 1000,
    list: (length, make) => Array.from({ length }, (_, i) => make(i)),
    shuffled: (list) => {
      const rest = [...list];
      return list.map(() => rest.splice(below(rest.length), 1)[0]);
    },
    normal: (size) => normal(fold(k, n++), size),
  };
  return d;
}

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const of = (shape: readonly number[], data: Operand["data"]): Operand => ({ stored: false, shape, data });
const float = (x: number) => ({ float: Math.fround(x) });

/** Floats without special values: normal, about one in eight whole or a half. */
const smooth = (d: Draw, shape: readonly number[]): Operand =>
  of(
    shape,
    d.normal(size(shape)).map((v) => (d.chance(0.12) ? Math.round(v * 2) / 2 : v)),
  );
const positive = (d: Draw, shape: readonly number[]): Operand =>
  of(
    shape,
    d.normal(size(shape)).map((v) => 0.2 + Math.abs(v)),
  );
const whole = (d: Draw, shape: readonly number[], low = -9, high = 9): Operand =>
  of(shape, BigInt64Array.from(d.list(size(shape), () => BigInt(d.int(low, high)))));
const int64 = (values: readonly number[], shape: readonly number[] = [values.length]): Operand => ({
  stored: true,
  shape,
  data: BigInt64Array.from(values, BigInt),
});
const shapeOf = (d: Draw, rank: number, most = 5): number[] =>
  d.list(rank, () => (d.chance(0.15) ? 1 : d.int(1, most)));
const negate = (d: Draw, axis: number, rank: number) => (d.chance(0.4) ? axis - rank : axis);
/** Shapes that broadcast. */
function together(d: Draw, count: number): number[][] {
  const full = shapeOf(d, d.int(0, 3));
  return d.list(count, () => full.slice(d.int(0, full.length)).map((n) => (d.chance(0.25) ? 1 : n)));
}
const typeOf = (x: Operand): DataType =>
  x.data instanceof Float32Array ? DataType.FLOAT : x.data instanceof Uint8Array ? DataType.BOOL : DataType.INT64;
const either = (d: Draw, shape: readonly number[]): Operand => (d.chance(0.6) ? smooth(d, shape) : whole(d, shape));

export type Make = (d: Draw) => Omit<RandomCase, "op" | "opset" | "attrs"> & {
  opset?: number;
  attrs: Readonly<Record<string, TestAttr | undefined>>;
};

const unary =
  (values: (d: Draw, shape: number[]) => Operand, opset?: number): Make =>
  (d) => ({ operands: [values(d, shapeOf(d, d.int(0, 3)))], attrs: {}, opset });
const binary =
  (values: (d: Draw, shape: number[]) => Operand, second = values): Make =>
  (d) => {
    const [a, b] = together(d, 2);
    const x = values(d, a);
    let y = second(d, b);
    while (typeOf(y) !== typeOf(x)) y = second(d, b);
    return { operands: [x, y], attrs: {}, type: typeOf(x) };
  };
const compared =
  (values: (d: Draw, shape: number[]) => Operand): Make =>
  (d) => ({ ...binary(values)(d), type: DataType.BOOL });
const nonZero = (d: Draw, shape: readonly number[]): Operand => {
  const x = either(d, shape);
  const data = x.data;
  return data instanceof BigInt64Array
    ? of(
        shape,
        data.map((v) => (v === 0n ? 3n : v)),
      )
    : positive(d, shape);
};
const variadic: Make = (d) => {
  const shapes = together(d, d.int(1, 4));
  return { operands: shapes.map((s) => smooth(d, s)), attrs: {} };
};

const reduction =
  (values: (d: Draw, shape: number[]) => Operand): Make =>
  (d) => {
    const shape = shapeOf(d, d.int(1, 4));
    const x = values(d, shape);
    const axes = d.shuffled(shape.map((_, i) => i)).slice(0, d.int(1, shape.length));
    const named = axes.map((a) => negate(d, a, shape.length));
    const attrs: Record<string, TestAttr> = d.chance(0.7) ? { keepdims: d.int(0, 1) } : {};
    if (d.chance(0.2)) return { operands: [x], attrs, opset: 18, type: typeOf(x) };
    if (d.chance(0.15))
      return {
        operands: [x, int64([])],
        attrs: { ...attrs, noop_with_empty_axes: d.int(0, 1) },
        opset: 18,
        type: typeOf(x),
      };
    if (d.chance(0.3)) return { operands: [x], attrs: { ...attrs, axes: named }, opset: 11, type: typeOf(x) };
    return { operands: [x, int64(named)], attrs, opset: 18, type: typeOf(x) };
  };

/** Attributes of a window on `spatial` sizes that fits at least once. */
function windowOn(
  d: Draw,
  spatial: readonly number[],
  pool: boolean,
): { attrs: Record<string, TestAttr>; kernel: number[] } {
  const kernel = spatial.map((n) => d.int(1, Math.min(3, n)));
  const attrs: Record<string, TestAttr> = pool ? { kernel_shape: kernel } : {};
  if (d.chance(0.6)) attrs.strides = kernel.map(() => d.int(1, 3));
  const auto = d.pick(["", "", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]);
  const dilations = kernel.map((k, i) => (k > 1 && (k - 1) * 2 + 1 <= spatial[i] && d.chance(0.3) ? 2 : 1));
  if (dilations.some((v) => v > 1) && (!auto.startsWith("SAME") || d.chance(0.5))) attrs.dilations = dilations;
  if (auto) attrs.auto_pad = auto;
  if ((auto === "" || auto === "NOTSET") && d.chance(0.6))
    attrs.pads = [...kernel, ...kernel].map((k) => d.int(0, Math.max(0, k - 1)));
  return { attrs, kernel };
}

const pool =
  (extra: (d: Draw) => Record<string, TestAttr | undefined>, opset: number): Make =>
  (d) => {
    const spatial = d.list(d.pick([1, 2, 2]), () => d.int(3, 8));
    const { attrs } = windowOn(d, spatial, true);
    if (d.chance(0.4)) attrs.ceil_mode = 1;
    const shape = [d.int(1, 2), d.int(1, 3), ...spatial];
    return { operands: [smooth(d, shape)], attrs: { ...attrs, ...extra(d) }, opset };
  };

const normed =
  (rank: [number, number]): ((d: Draw) => number[]) =>
  (d) => [d.int(1, 2), d.int(1, 6), ...d.list(d.int(...rank), () => d.int(2, 4))];

const RESIZE_SIZES: Make = (d) => {
  const [h, w] = [d.int(1, 32), d.int(1, 32)];
  const bySize = d.chance(0.5);
  const mode = d.pick(["nearest", "nearest", "linear", "cubic"]);
  const attrs: Record<string, TestAttr> = { mode };
  const coordinates = d.pick([
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "",
  ]);
  if (coordinates && !(coordinates === "tf_half_pixel_for_nn" && mode !== "nearest"))
    attrs.coordinate_transformation_mode = coordinates;
  if (mode === "nearest" && d.chance(0.8))
    attrs.nearest_mode = d.pick(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]);
  if (mode === "cubic" && d.chance(0.4)) attrs.exclude_outside = 1;
  if (mode === "cubic" && d.chance(0.4)) attrs.cubic_coeff_a = float(-0.5);
  const x = smooth(d, [1, 2, h, w]);
  const target = () => d.int(1, 40);
  const scale = () => d.pick([d.int(1, 400) / 100, 1.4, 1.1, 2, 3, 0.5, 1 / 3, 1.7, 2.3, 0.7, 1]);
  const usable = (from: number) => {
    const s = Math.fround(scale());
    return Math.floor(Math.fround(s * from)) >= 1 ? s : 2;
  };
  if (bySize)
    return d.chance(0.3)
      ? { operands: [x, null, null, int64([target(), target()])], attrs: { ...attrs, axes: [2, 3] }, opset: 18 }
      : { operands: [x, null, null, int64([1, 2, target(), target()])], attrs, opset: d.pick([11, 13, 18]) };
  const scales = [usable(h), usable(w)];
  if (d.chance(0.2))
    return {
      operands: [x, null, floats(scales)],
      attrs: { ...attrs, axes: d.chance(0.5) ? [2, 3] : [-2, -1] },
      opset: 18,
    };
  if (d.chance(0.15) && mode !== "cubic")
    return { operands: [x, floats([1, 1, ...scales])], attrs: { mode }, opset: 10 };
  return { operands: [x, null, floats([1, 1, ...scales])], attrs, opset: d.pick([11, 13, 18]) };
};

/** By operator. */
export const randomCases: Readonly<Record<string, Make>> = {
  ...Object.fromEntries(
    ["Exp", "Erf", "Sin", "Cos", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish"].map((op) => [
      op,
      unary(smooth),
    ]),
  ),
  Mish: unary(smooth, 18),
  ...Object.fromEntries(["Log", "Sqrt", "Reciprocal"].map((op) => [op, unary(positive)])),
  ...Object.fromEntries(["Floor", "Ceil", "Round"].map((op) => [op, unary(smooth)])),
  ...Object.fromEntries(
    ["Neg", "Abs", "Sign", "Identity"].map((op): [string, Make] => [
      op,
      (d) => {
        const x = either(d, shapeOf(d, d.int(0, 3)));
        return { operands: [x], attrs: {}, type: typeOf(x) };
      },
    ]),
  ),
  Relu: unary(smooth),
  Not: (d) => ({ operands: [bools(...shapeOf(d, d.int(0, 3)))], attrs: {}, type: DataType.BOOL }),
  ...Object.fromEntries(["Add", "Sub", "Mul"].map((op) => [op, binary(either)])),
  Div: binary(either, nonZero),
  Mod: (d) => {
    const fmod = d.chance(0.5);
    const c = binary(fmod ? smooth : whole, nonZero)(d);
    return { ...c, attrs: fmod ? { fmod: 1 } : {} };
  },
  Pow: (d) => {
    const [a, b] = together(d, 2);
    if (d.chance(0.3)) return { operands: [whole(d, a, -5, 5), whole(d, b, 0, 4)], attrs: {}, type: DataType.INT64 };
    if (d.chance(0.3)) return { operands: [smooth(d, a), whole(d, b, -2, 3)], attrs: {} };
    if (d.chance(0.3))
      return { operands: [smooth(d, a), { ...floats([d.pick([0, 1, 2, 3, -1, -2])], []), stored: false }], attrs: {} };
    return { operands: [positive(d, a), smooth(d, b)], attrs: {} };
  },
  ...Object.fromEntries(["Min", "Max", "Sum", "Mean"].map((op) => [op, variadic])),
  ...Object.fromEntries(
    ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"].map((op) => [
      op,
      compared((d, s) => (d.chance(0.5) ? whole(d, s, -2, 2) : of(s, d.normal(size(s)).map(Math.round)))),
    ]),
  ),
  ...Object.fromEntries(["And", "Or", "Xor"].map((op) => [op, compared((_, s) => bools(...s))])),
  Where: (d) => {
    const [c, a, b] = together(d, 3);
    const make = d.chance(0.6) ? smooth : whole;
    const x = make(d, a);
    return { operands: [bools(...c), x, make(d, b)], attrs: {}, type: typeOf(x) };
  },
  Clip: (d) => {
    const x = either(d, shapeOf(d, d.int(0, 3)));
    const make = (v: number): Operand =>
      typeOf(x) === DataType.FLOAT
        ? { ...floats([v], []), stored: d.chance(0.5) }
        : { ...int64([Math.round(v * 4)], []), stored: d.chance(0.5) };
    const bounds = [-0.5, d.pick([0.7, -0.9])];
    return {
      operands: [x, d.chance(0.8) ? make(bounds[0]) : null, d.chance(0.8) ? make(bounds[1]) : null],
      attrs: {},
      type: typeOf(x),
      opset: 13,
    };
  },
  Cast: (d) => {
    const x = d.pick([
      () => of([6], Float32Array.of(-1.7, -0.4, 0, 0.5, 1.5, 2.9)),
      () => whole(d, [5]),
      () => bools(4),
    ])();
    const to = d.pick([DataType.FLOAT, DataType.INT64, DataType.BOOL]);
    return { operands: [x], attrs: { to }, type: to };
  },
  Swish: (d) => ({ ...unary(smooth)(d), attrs: { alpha: float(d.pick([1, 0.7, 1.7])) }, opset: 24 }),
  Gelu: (d) => ({ ...unary(smooth)(d), attrs: d.chance(0.5) ? { approximate: "tanh" } : {}, opset: 20 }),
  LeakyRelu: (d) => ({ ...unary(smooth)(d), attrs: d.chance(0.5) ? { alpha: float(0.3) } : {} }),
  PRelu: (d) => {
    const shape = shapeOf(d, 3);
    const slope = d.pick([[shape[1], 1], [1], shape, [shape[2]]]);
    return { operands: [smooth(d, shape), smooth(d, slope)], attrs: {} };
  },
  ...Object.fromEntries(
    ["HardSigmoid", "ThresholdedRelu", "Elu", "Celu", "Selu"].map((op): [string, Make] => [
      op,
      (d) => ({ ...unary(smooth)(d), attrs: d.chance(0.6) ? { alpha: float(d.pick([0.3, 0.7, 1.5])) } : {} }),
    ]),
  ),
  Reshape: (d) => {
    const shape = shapeOf(d, d.int(1, 4));
    const total = size(shape);
    const cut = d.pick([1, 2, 3].filter((k) => total % k === 0));
    const wanted = d.pick([[-1], [cut, -1], [total / cut, cut], [0, -1]]);
    return { operands: [smooth(d, shape), int64(wanted)], attrs: {}, opset: 14 };
  },
  Flatten: (d) => {
    const shape = shapeOf(d, d.int(1, 4));
    return { operands: [smooth(d, shape)], attrs: d.chance(0.8) ? { axis: d.int(-shape.length, shape.length) } : {} };
  },
  Transpose: (d) => {
    const shape = shapeOf(d, d.int(1, 4));
    const x = either(d, shape);
    return { operands: [x], attrs: d.chance(0.8) ? { perm: d.shuffled(shape.map((_, i) => i)) } : {}, type: typeOf(x) };
  },
  Squeeze: (d) => {
    const shape = d.list(4, () => d.pick([1, 1, 2, 3]));
    const ones = shape.flatMap((n, i) => (n === 1 ? [negate(d, i, 4)] : []));
    return { operands: [smooth(d, shape), ...(ones.length && d.chance(0.7) ? [int64(ones)] : [])], attrs: {} };
  },
  Unsqueeze: (d) => {
    const shape = shapeOf(d, d.int(0, 3));
    const rank = shape.length + 2;
    const axes = d.shuffled(d.list(rank, (i) => i)).slice(0, 2);
    return { operands: [smooth(d, shape), int64(axes.map((a) => negate(d, a, rank)))], attrs: {} };
  },
  Concat: (d) => {
    const shape = shapeOf(d, d.int(1, 3));
    const axis = d.int(0, shape.length - 1);
    const make = d.chance(0.6) ? smooth : whole;
    const xs = d.list(d.int(1, 4), () =>
      make(
        d,
        shape.map((n, i) => (i === axis ? d.int(0, 3) : n)),
      ),
    );
    return { operands: xs, attrs: { axis: negate(d, axis, shape.length) }, type: typeOf(xs[0]) };
  },
  Split: (d) => {
    const shape = shapeOf(d, d.int(1, 3), 7);
    const axis = d.int(0, shape.length - 1);
    const n = shape[axis];
    const first = d.int(0, n);
    if (d.chance(0.5))
      return {
        operands: [smooth(d, shape), int64([first, n - first])],
        attrs: { axis: negate(d, axis, shape.length) },
        outputs: 2,
      };
    const count = d.int(1, n);
    return {
      operands: [smooth(d, shape)],
      attrs: { axis: negate(d, axis, shape.length), num_outputs: count },
      outputs: count,
      opset: 18,
    };
  },
  Slice: (d) => {
    const shape = shapeOf(d, d.int(1, 3), 7);
    const axes = d.shuffled(shape.map((_, i) => i)).slice(0, d.int(1, shape.length));
    const steps = axes.map(() => d.pick([1, 1, 2, 3, -1, -2]));
    const place = (i: number) => d.pick([d.int(-shape[axes[i]] - 2, shape[axes[i]] + 2), -(2 ** 62), 2 ** 62, 0]);
    const x = either(d, shape);
    return {
      operands: [
        x,
        int64(axes.map((_, i) => place(i))),
        int64(axes.map((_, i) => place(i))),
        int64(axes.map((a) => negate(d, a, shape.length))),
        int64(steps),
      ],
      attrs: {},
      type: typeOf(x),
    };
  },
  Gather: (d) => {
    const shape = shapeOf(d, d.int(1, 3));
    const axis = d.int(0, shape.length - 1);
    const n = shape[axis];
    const x = either(d, shape);
    return {
      operands: [x, { ...whole(d, shapeOf(d, d.int(0, 2)), -n, n - 1), stored: d.chance(0.5) }],
      attrs: { axis: negate(d, axis, shape.length) },
      type: typeOf(x),
    };
  },
  GatherElements: (d) => {
    const shape = shapeOf(d, d.int(1, 3));
    const axis = d.int(0, shape.length - 1);
    const n = shape[axis];
    const x = either(d, shape);
    const index = shape.map((s, i) => (i === axis ? d.int(1, 4) : d.chance(0.3) ? d.int(1, s) : s));
    return {
      operands: [x, whole(d, index, -n, n - 1)],
      attrs: { axis: negate(d, axis, shape.length) },
      type: typeOf(x),
    };
  },
  Expand: (d) => {
    const [a, b] = together(d, 2);
    const x = either(d, a);
    return { operands: [x, int64(b)], attrs: {}, type: typeOf(x) };
  },
  Tile: (d) => {
    const shape = shapeOf(d, d.int(1, 3));
    const x = either(d, shape);
    return { operands: [x, int64(shape.map(() => d.int(0, 3)))], attrs: {}, type: typeOf(x) };
  },
  Pad: (d) => {
    const shape = shapeOf(d, d.int(1, 4), 6);
    const mode = d.pick(["constant", "constant", "reflect", "edge", "wrap"]);
    const low = (n: number) => (d.chance(0.35) && n > 2 ? -1 : 0);
    const most = (n: number) => (mode === "reflect" ? Math.max(0, n - 2) : mode === "wrap" ? Math.max(0, n - 1) : 3);
    const side = () => shape.map((n) => d.int(low(n), most(n)));
    const x = mode === "constant" ? either(d, shape) : smooth(d, shape);
    const value = d.chance(0.5) ? (typeOf(x) === DataType.FLOAT ? floats([1.5], []) : int64([4], [])) : null;
    const attrs: Record<string, TestAttr> = d.chance(0.8) || mode !== "constant" ? { mode } : {};
    if (d.chance(0.3)) {
      const axes = d.shuffled(shape.map((_, i) => i)).slice(0, d.int(1, shape.length));
      const one = axes.map((a) => d.int(low(shape[a]), most(shape[a])));
      const two = axes.map((a) => d.int(low(shape[a]), most(shape[a])));
      return {
        operands: [
          x,
          int64([...one, ...two]),
          mode === "constant" ? value : null,
          int64(axes.map((a) => negate(d, a, shape.length))),
        ],
        attrs,
        opset: 19,
        type: typeOf(x),
      };
    }
    return {
      operands: [x, int64([...side(), ...side()]), ...(mode === "constant" && value ? [value] : [])],
      attrs,
      opset: mode === "wrap" ? 19 : 13,
      type: typeOf(x),
    };
  },
  DepthToSpace: (d) => {
    const b = d.int(1, 3);
    return {
      operands: [smooth(d, [d.int(1, 2), b * b * d.int(1, 2), d.int(1, 3), d.int(1, 3)])],
      attrs: { blocksize: b, ...(d.chance(0.6) ? { mode: d.pick(["DCR", "CRD"]) } : {}) },
    };
  },
  SpaceToDepth: (d) => {
    const b = d.int(1, 3);
    return {
      operands: [smooth(d, [d.int(1, 2), d.int(1, 2), b * d.int(1, 3), b * d.int(1, 3)])],
      attrs: { blocksize: b },
    };
  },
  Dropout: (d) => unary(smooth)(d),
  ConstantOfShape: (d) => ({
    operands: [int64(shapeOf(d, d.int(0, 3)))],
    attrs: { value: stored("v", { shape: [1], data: Float32Array.of(2.5) }) },
  }),
  Range: (d) => {
    const numbers = d.chance(0.5)
      ? [d.int(-5, 5), d.int(-5, 9), d.pick([1, 2, -1, -3])].map((v) => int64([v], []))
      : [d.int(-5, 5) / 2, d.int(-5, 9) / 3, d.pick([0.5, 0.3, -0.7, 0.1])].map((v) => floats([v], []));
    return { operands: numbers, attrs: {}, type: typeOf(numbers[0]) };
  },
  EyeLike: (d) => ({ operands: [smooth(d, shapeOf(d, 2))], attrs: { k: d.int(-3, 3) } }),
  OneHot: (d) => {
    const depth = d.int(1, 5);
    const shape = shapeOf(d, d.int(0, 2));
    return {
      operands: [whole(d, shape, -depth - 1, depth), { ...int64([depth], []) }, floats([-1, 2])],
      attrs: d.chance(0.7) ? { axis: d.int(-shape.length - 1, shape.length) } : {},
    };
  },
  Trilu: (d) => {
    const x = either(d, shapeOf(d, d.int(2, 3)));
    return {
      operands: [x, ...(d.chance(0.6) ? [int64([d.int(-4, 4)], [])] : [])],
      attrs: d.chance(0.6) ? { upper: d.int(0, 1) } : {},
      type: typeOf(x),
    };
  },
  CumSum: (d) => {
    const shape = shapeOf(d, d.int(1, 3));
    const x = either(d, shape);
    return {
      operands: [x, int64([negate(d, d.int(0, shape.length - 1), shape.length)], [])],
      attrs: { ...(d.chance(0.5) ? { exclusive: 1 } : {}), ...(d.chance(0.5) ? { reverse: 1 } : {}) },
      type: typeOf(x),
    };
  },
  ...Object.fromEntries(
    ["Sum", "Mean", "Prod", "Max", "Min", "SumSquare", "L1", "L2"].map((op) => [`Reduce${op}`, reduction(smooth)]),
  ),
  ReduceLogSum: reduction(positive),
  ReduceLogSumExp: reduction(smooth),
  ...Object.fromEntries(
    ["Softmax", "LogSoftmax"].map((op): [string, Make] => [
      op,
      (d) => {
        const shape = shapeOf(d, d.int(1, 4));
        return {
          operands: [smooth(d, shape)],
          attrs: d.chance(0.8) ? { axis: d.int(-shape.length, shape.length - 1) } : {},
          opset: d.pick([11, 13]),
        };
      },
    ]),
  ),
  MatMul: (d) => {
    const [m, k, n] = [d.int(1, 4), d.int(1, 5), d.int(1, 4)];
    const [a, b] = together(d, 2);
    const left = d.chance(0.15) ? [k] : [...a, m, k];
    const right = d.chance(0.15) ? [k] : [...b, k, n];
    return { operands: [smooth(d, left), smooth(d, right)], attrs: {} };
  },
  Gemm: (d) => {
    const [m, k, n] = [d.int(1, 4), d.int(1, 5), d.int(1, 4)];
    const [ta, tb] = [d.int(0, 1), d.int(0, 1)];
    const c = d.pick([[n], [m, 1], [1, n], [m, n], [], null]);
    return {
      operands: [smooth(d, ta ? [k, m] : [m, k]), smooth(d, tb ? [n, k] : [k, n]), ...(c ? [smooth(d, c)] : [])],
      attrs: {
        transA: ta,
        transB: tb,
        ...(d.chance(0.5) ? { alpha: float(d.pick([0.5, 2, 0])) } : {}),
        ...(d.chance(0.5) ? { beta: float(d.pick([0.5, 2, 0])) } : {}),
      },
    };
  },
  Einsum: (d) => {
    const sizes: Record<string, number> = Object.fromEntries([..."abcde"].map((l) => [l, d.int(1, 4)]));
    const labels = () => d.shuffled([..."abcde"]).slice(0, d.int(1, 3));
    const [l, r] = [labels(), labels()];
    const out = d.shuffled([...new Set([...l, ...r])]).slice(0, d.int(0, 3));
    const x = (ls: string[]) =>
      smooth(
        d,
        ls.map((s) => sizes[s]),
      );
    return { operands: [x(l), x(r)], attrs: { equation: `${l.join("")},${r.join("")}->${out.join("")}` } };
  },
  Attention: (d) => {
    const [b, h, l, s, w, v] = [d.int(1, 2), d.pick([2, 4]), d.int(1, 4), d.int(1, 5), d.int(1, 4), d.int(1, 3)];
    const kv = d.pick([h, h / 2]);
    const shapes = d.chance(0.5)
      ? [
          [b, h, l, w],
          [b, kv, s, w],
          [b, kv, s, v],
        ]
      : [
          [b, l, h * w],
          [b, s, kv * w],
          [b, s, kv * v],
        ];
    const mask = d.chance(0.4) ? [smooth(d, [l, s])] : [];
    return {
      operands: [...shapes.map((x) => smooth(d, x)), ...mask],
      attrs: {
        ...(shapes[0].length === 3 ? { q_num_heads: h, kv_num_heads: kv } : {}),
        ...(d.chance(0.3) ? { scale: float(0.4) } : {}),
        ...(mask.length === 0 && d.chance(0.4) ? { is_causal: 1 } : {}),
      },
      opset: 23,
    };
  },
  Conv: (d) => {
    const spatial = d.list(d.pick([1, 2, 2]), () => d.int(3, 8));
    const group = d.pick([1, 1, 2]);
    const { attrs, kernel } = windowOn(d, spatial, false);
    const [cin, cout] = [group * d.int(1, 3), group * d.int(1, 3)];
    return {
      operands: [
        smooth(d, [d.int(1, 2), cin, ...spatial]),
        smooth(d, [cout, cin / group, ...kernel]),
        ...(d.chance(0.5) ? [smooth(d, [cout])] : []),
      ],
      attrs: {
        ...attrs,
        ...(group > 1 || d.chance(0.3) ? { group } : {}),
        ...(d.chance(0.3) ? { kernel_shape: kernel } : {}),
      },
    };
  },
  ConvTranspose: (d) => {
    const spatial = d.list(d.pick([1, 2, 2]), () => d.int(2, 5));
    const kernel = spatial.map(() => d.int(1, 3));
    const group = d.pick([1, 1, 2]);
    const [cin, cout] = [group * d.int(1, 2), d.int(1, 3)];
    const strides = kernel.map(() => d.int(1, 3));
    const attrs: Record<string, TestAttr> = { strides, group };
    const kind = d.int(0, 3);
    if (kind === 0) attrs.pads = [...kernel, ...kernel].map((k) => d.int(0, Math.floor((k - 1) / 2)));
    if (kind === 1) attrs.auto_pad = d.pick(["SAME_UPPER", "SAME_LOWER", "VALID"]);
    if (kind === 2)
      attrs.output_shape = spatial.map(
        (n, i) => (n - 1) * strides[i] + kernel[i] - d.int(0, Math.min(1, kernel[i] - 1)),
      );
    if (kind !== 2 && d.chance(0.3)) attrs.output_padding = strides.map((s) => d.int(0, s - 1));
    if (kind === 0 && d.chance(0.3)) attrs.dilations = kernel.map(() => d.int(1, 2));
    return {
      operands: [
        smooth(d, [d.int(1, 2), cin, ...spatial]),
        smooth(d, [cin, cout, ...kernel]),
        ...(d.chance(0.5) ? [smooth(d, [cout * group])] : []),
      ],
      attrs,
    };
  },
  AveragePool: pool((d) => (d.chance(0.5) ? { count_include_pad: d.int(0, 1) } : {}), 19),
  MaxPool: pool(() => ({}), 12),
  GlobalAveragePool: (d) => ({ operands: [smooth(d, normed([1, 2])(d))], attrs: {} }),
  GlobalMaxPool: (d) => ({ operands: [smooth(d, normed([1, 2])(d))], attrs: {} }),
  BatchNormalization: (d) => {
    const shape = normed([0, 2])(d);
    const c = [shape[1]];
    return {
      operands: [smooth(d, shape), smooth(d, c), smooth(d, c), smooth(d, c), positive(d, c)],
      attrs: d.chance(0.5) ? { epsilon: float(1e-2) } : {},
    };
  },
  InstanceNormalization: (d) => {
    const shape = normed([1, 2])(d);
    const c = [shape[1]];
    return {
      operands: [smooth(d, shape), smooth(d, c), smooth(d, c)],
      attrs: d.chance(0.5) ? { epsilon: float(1e-2) } : {},
    };
  },
  GroupNormalization: (d) => {
    const groups = d.int(1, 3);
    const c = groups * d.int(1, 3);
    const opset = d.pick([18, 21]);
    const w = [opset === 18 ? groups : c];
    const shape = [d.int(1, 2), c, ...d.list(d.int(1, 2), () => d.int(2, 4))];
    return { operands: [smooth(d, shape), smooth(d, w), smooth(d, w)], attrs: { num_groups: groups }, opset };
  },
  LayerNormalization: (d) => {
    const shape = d.list(3, () => d.int(2, 4));
    const axis = d.int(0, 2);
    const w = shape.slice(axis);
    return {
      operands: [smooth(d, shape), smooth(d, w), ...(d.chance(0.5) ? [smooth(d, w)] : [])],
      attrs: { axis: negate(d, axis, 3), ...(d.chance(0.5) ? { epsilon: float(1e-2) } : {}) },
    };
  },
  RMSNormalization: (d) => {
    const shape = d.list(3, () => d.int(2, 4));
    const axis = d.int(0, 2);
    return {
      operands: [smooth(d, shape), smooth(d, shape.slice(axis))],
      attrs: { axis: negate(d, axis, 3) },
      opset: 23,
    };
  },
  LpNormalization: (d) => ({
    operands: [
      smooth(
        d,
        d.list(3, () => d.int(2, 4)),
      ),
    ],
    attrs: { axis: d.int(-3, 2), p: d.int(1, 2) },
  }),
  Resize: RESIZE_SIZES,
  Upsample: (d) => ({
    operands: [
      smooth(d, [1, 2, d.int(1, 9), d.int(1, 9)]),
      floats([1, 1, d.int(100, 350) / 100, d.pick([1, 1.4, 2, 3.3])]),
    ],
    attrs: { mode: d.pick(["nearest", "linear"]) },
    opset: 9,
  }),
};
