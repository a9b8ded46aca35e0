// Resize and Upsample: nearest by a whole factor as such, everything else as a product with a small constant matrix an axis.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, type Call, ints, known, knownInts, number, type Rules, rule, text } from "../call.ts";
import { axisIn } from "../value.ts";

interface Axis {
  readonly from: number;
  readonly to: number;
  readonly scale: number;
}

/** Old: Upsample, and Resize of version 10. Their nearest is floor, their coordinates asymmetric. */
function resize(call: Call, old: boolean): Tensor {
  const x = at(call, 0);
  const axes = axesOf(call, x, old);
  const mode = text(call, "mode", "nearest");
  const coordinates = old ? "asymmetric" : text(call, "coordinate_transformation_mode", "half_pixel");
  const rounding = old ? "floor" : text(call, "nearest_mode", "round_prefer_floor");
  const rows = axes.map((axis) => weights(axis, mode, coordinates, rounding, number(call, "cubic_coeff_a", -0.75)));
  const factor = axes[2]?.to / axes[2]?.from;
  if (
    x.shape.length === 4 &&
    axes.every(({ from, to }, i) => to === from * (i < 2 ? 1 : factor)) &&
    Number.isInteger(factor) &&
    rows.every((matrix, i) => repeats(matrix, axes[i]))
  )
    return g.upsampleNearest(x, factor);
  return axes.reduce((y, axis, i) => (axis.from === axis.to && axis.scale === 1 ? y : along(y, i, axis, rows[i])), x);
}

function axesOf(call: Call, x: Tensor, old: boolean): Axis[] {
  const rank = x.shape.length;
  const given = (i: number): readonly number[] | undefined =>
    call.inputs[i] !== undefined && known(call, i).data.length > 0 ? knownInts(call, i) : undefined;
  const scales = given(old ? 1 : 2) ?? (old ? ints(call, "scales", []) : undefined);
  const sizes = old ? undefined : given(3);
  const chosen = ints(
    call,
    "axes",
    x.shape.map((_, i) => i),
  ).map((a) => axisIn(x, a));
  return Array.from({ length: rank }, (_, axis) => {
    const from = x.shape[axis];
    const k = chosen.indexOf(axis);
    if (k < 0) return { from, to: from, scale: 1 };
    if (sizes) return { from, to: sizes[k], scale: sizes[k] / from };
    const scale = scales?.[k] ?? 1;
    return { from, to: Math.floor(from * scale), scale };
  });
}

/** For each position of the result, the positions it reads and their weights. */
type Row = ReadonlyMap<number, number>;

function weights({ from, to, scale }: Axis, mode: string, coordinates: string, rounding: string, a: number): Row[] {
  return Array.from({ length: to }, (_, i) => {
    const place = origin(i, { from, to, scale }, coordinates);
    const row = new Map<number, number>();
    const put = (index: number, weight: number) => {
      const inside = Math.min(from - 1, Math.max(0, index));
      if (weight !== 0) row.set(inside, (row.get(inside) ?? 0) + weight);
    };
    if (mode === "nearest") put(rounded(place, rounding), 1);
    else if (mode === "linear") {
      const low = Math.floor(place);
      put(low, 1 - (place - low));
      put(low + 1, place - low);
    } else {
      const low = Math.floor(place);
      for (let k = -1; k <= 2; k++) put(low + k, cubic(Math.abs(place - low - k), a));
    }
    return row;
  });
}

function origin(i: number, { from, to, scale }: Axis, coordinates: string): number {
  if (coordinates === "asymmetric") return i / scale;
  if (coordinates === "align_corners") return to === 1 ? 0 : (i * (from - 1)) / (to - 1);
  if (coordinates === "pytorch_half_pixel" && to === 1) return 0;
  const half = (i + 0.5) / scale - 0.5;
  // The difference that a size rounded down makes is shared by both sides.
  if (coordinates === "half_pixel_symmetric") return half + (from / 2) * (1 - to / (from * scale));
  return half;
}

function rounded(place: number, rounding: string): number {
  if (rounding === "floor") return Math.floor(place);
  if (rounding === "ceil") return Math.ceil(place);
  return rounding === "round_prefer_ceil" ? Math.floor(place + 0.5) : Math.ceil(place - 0.5);
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
    ],
    nearest_mode: ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"],
    keep_aspect_ratio_policy: ["stretch"],
    antialias: [0],
    exclude_outside: [0],
  }),
  Upsample: rule("scales", (call) => resize(call, true), { mode: MODES }),
};
