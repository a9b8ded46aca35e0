// Resize and Upsample: nearest by a whole factor as such, everything else as a product with a small constant matrix an axis.
// Places are computed in float32 and in ONNX Runtime's order of operations: near a whole number the last bit decides
// which value is taken, and how large the result is.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, type Call, int, ints, known, knownInts, number, type Rules, rule, text } from "../call.ts";
import { atMost } from "../limits.ts";
import { axisIn } from "../value.ts";

const f32 = Math.fround;

interface Axis {
  readonly from: number;
  readonly to: number;
  /** float32. */
  readonly scale: number;
}

interface Method {
  readonly mode: string;
  readonly coordinates: string;
  /** "simple": of version 10 and Upsample, up for reductions and down otherwise. */
  readonly rounding: string;
  readonly cubicA: number;
  readonly excludeOutside: boolean;
}

/** Old: Upsample, and Resize of version 10. Their coordinates are asymmetric. */
function resize(call: Call, old: boolean): Tensor {
  const x = at(call, 0);
  const axes = axesOf(call, x, old);
  // As ONNX Runtime does, also where a scale says otherwise.
  if (axes.every(({ from, to }) => from === to)) return x;
  const method: Method = {
    mode: text(call, "mode", "nearest"),
    coordinates: old ? "asymmetric" : text(call, "coordinate_transformation_mode", "half_pixel"),
    rounding: old ? "simple" : text(call, "nearest_mode", "round_prefer_floor"),
    cubicA: number(call, "cubic_coeff_a", -0.75),
    excludeOutside: int(call, "exclude_outside", 0) === 1,
  };
  const rows = axes.map((axis) => weights(axis, method));
  const factor = axes[2]?.to / axes[2]?.from;
  if (
    x.shape.length === 4 &&
    axes.every(({ from, to }, i) => to === from * (i < 2 ? 1 : factor)) &&
    Number.isInteger(factor) &&
    rows.every((matrix, i) => repeats(matrix, axes[i]))
  )
    return g.upsampleNearest(x, factor);
  return axes.reduce((y, axis, i) => (axis.scale === 1 ? y : along(y, i, axis, rows[i])), x);
}

function axesOf(call: Call, x: Tensor, old: boolean): Axis[] {
  const given = (i: number): readonly number[] | undefined =>
    call.inputs[i] !== undefined && known(call, i).data.length > 0 ? knownInts(call, i) : undefined;
  const scales = given(old ? 1 : 2) ?? (old ? ints(call, "scales", []) : undefined);
  const sizes = old ? undefined : given(3);
  const chosen = ints(
    call,
    "axes",
    x.shape.map((_, i) => i),
  ).map((a) => axisIn(x, a));
  const list = sizes ?? scales ?? [];
  if (list.length !== chosen.length)
    throw new RangeError(
      `its ${sizes ? "sizes" : "scales"} [${list.slice(0, 8)}] are ${list.length}; expected one for each of its ${chosen.length} axes.`,
    );
  const axes = x.shape.map((from, axis): Axis => {
    const k = chosen.indexOf(axis);
    if (k < 0) return { from, to: from, scale: 1 };
    if (sizes) return { from, to: sizes[k], scale: f32(sizes[k] / from) };
    const scale = f32(list[k]);
    return { from, to: Math.floor(f32(scale * from)), scale };
  });
  for (const { to } of axes)
    if (!(to >= 1))
      throw new RangeError(`its result [${axes.map((a) => a.to)}] has no values; expected sizes above 0.`);
  atMost(axes.map(({ to }) => to));
  for (const { from, to } of axes) if (from !== to) atMost([from, to]);
  return axes;
}

/** For each position of the result, the positions it reads and their weights. */
type Row = ReadonlyMap<number, number>;

function weights({ from, to, scale }: Axis, { mode, coordinates, rounding, cubicA, excludeOutside }: Method): Row[] {
  const last = from - 1;
  const clamp = (v: number): number => Math.min(last, Math.max(0, v));
  // An axis of scale 1 stays as it is in every mode, so its rows are only looked at, not computed.
  if (scale === 1) return Array.from({ length: to }, (_, i) => new Map([[clamp(i), 1]]));
  return Array.from({ length: to }, (_, i) => {
    const place = origin(i, { from, to, scale }, coordinates);
    const row = new Map<number, number>();
    const put = (index: number, weight: number) => {
      if (weight !== 0) row.set(clamp(index), (row.get(clamp(index)) ?? 0) + weight);
    };
    if (mode === "nearest") put(rounded(place, rounding, scale), 1);
    else if (mode === "linear") {
      const inside = clamp(place);
      const low = Math.floor(inside);
      put(low, 1 - (inside - low));
      put(low + 1, inside - low);
    } else {
      const low = Math.floor(place);
      const taps = [-1, 0, 1, 2]
        .map((k) => [low + k, cubic(Math.abs(place - low - k), cubicA)] as const)
        .filter(([index]) => !excludeOutside || (index >= 0 && index <= last));
      const total = excludeOutside ? taps.reduce((sum, [, weight]) => sum + weight, 0) : 1;
      for (const [index, weight] of taps) put(index, weight / total);
    }
    return row;
  });
}

/** Where position i of the result lies in the input. */
function origin(i: number, { from, to, scale }: Axis, coordinates: string): number {
  if (coordinates === "asymmetric") return f32(i / scale);
  if (coordinates === "align_corners") return to === 1 ? 0 : f32(f32(i * (from - 1)) / (to - 1));
  if (coordinates === "tf_half_pixel_for_nn") return f32((i + 0.5) / scale);
  if (coordinates === "pytorch_half_pixel" && to === 1) return 0;
  // The difference that a size rounded down makes is shared by both sides.
  if (coordinates === "half_pixel_symmetric") {
    const adjustment = f32(to / f32(scale * from));
    return f32(f32((from / 2) * f32(1 - adjustment)) + (i + 0.5) / scale - 0.5);
  }
  return f32(f32((i + 0.5) / scale) - 0.5);
}

/** How near to a half a place counts as one, for ONNX Runtime. */
const HALF = 1e-6;

function rounded(place: number, rounding: string, scale: number): number {
  if (rounding === "simple") return scale < 1 ? Math.ceil(place) : Math.trunc(place);
  if (rounding === "floor") return Math.floor(place);
  if (rounding === "ceil") return Math.ceil(place);
  return rounding === "round_prefer_ceil" ? Math.floor(place + 0.5 + HALF) : Math.ceil(place - 0.5 - HALF);
}

/** Keys' kernel (1981). */
const cubic = (d: number, a: number): number =>
  d <= 1 ? (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1 : d < 2 ? a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;

/** Whether each value is repeated to / from times. */
const repeats = (matrix: readonly Row[], { from, to }: Axis): boolean =>
  matrix.every((row, i) => row.size === 1 && row.get(Math.floor((i * from) / to)) === 1);

/** The product with the matrix along one axis. */
function along(x: Tensor, axis: number, { from, to }: Axis, rows: readonly Row[]): Tensor {
  const matrix = new Float32Array(to * from);
  rows.forEach((row, i) => {
    for (const [j, weight] of row) matrix[i * from + j] = weight;
  });
  const m = g.constant(matrix, [to, from]);
  const rank = x.shape.length;
  if (axis === rank - 1) return g.matmul(x, m, { transB: true });
  if (axis === rank - 2) return g.matmul(m, x);
  const perm = x.shape.map((_, i) => i).filter((i) => i !== axis);
  const y = g.matmul(g.transpose(x, [...perm, axis]), m, { transB: true });
  const back = x.shape.map((_, i) => i).slice(0, -1);
  return g.transpose(y, [...back.slice(0, axis), rank - 1, ...back.slice(axis)]);
}

const MODES = ["nearest", "linear"];

export const resizing: Rules = {
  Resize: rule("axes cubic_coeff_a extrapolation_value", (call) => resize(call, call.opset < 11), {
    mode: [...MODES, "cubic"],
    coordinate_transformation_mode: [
      "half_pixel",
      "half_pixel_symmetric",
      "pytorch_half_pixel",
      "align_corners",
      "asymmetric",
      "tf_half_pixel_for_nn",
    ],
    nearest_mode: ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"],
    keep_aspect_ratio_policy: ["stretch"],
    antialias: [0],
    exclude_outside: [0, 1],
  }),
  Upsample: rule("scales", (call) => resize(call, true), { mode: MODES }),
};
