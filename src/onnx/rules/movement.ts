// Operators that move values: reshaping, joining, cutting, picking, padding.

import * as g from "../../graph/index.ts";
import { sizeOf } from "../../graph/tensor.ts";
import {
  at,
  type Call,
  int,
  ints,
  intsFrom,
  known,
  knownInts,
  number,
  type Rules,
  rule,
  text,
  value,
} from "../call.ts";
import { takeHost } from "../host.ts";
import {
  axisIn,
  cast,
  concat,
  expand,
  expandBoth,
  isHost,
  reshape,
  sliceAxis,
  split,
  tensor,
  transpose,
  type Value,
} from "../value.ts";

function reshaped(call: Call): Value {
  const x = value(call, 0);
  const wanted = intsFrom(call, 1, "shape") ?? [];
  const keepZero = int(call, "allowzero", 0) === 1;
  return reshape(
    x,
    wanted.map((d, i) => (d === 0 && !keepZero ? x.shape[i] : d)),
  );
}

function flattened(call: Call): Value {
  const x = value(call, 0);
  const axis = int(call, "axis", 1);
  const from = axis < 0 ? axis + x.shape.length : axis;
  return reshape(x, [sizeOf(x.shape.slice(0, from)), sizeOf(x.shape.slice(from))]);
}

function unsqueezed(call: Call): Value {
  const x = value(call, 0);
  const axes = intsFrom(call, 1, "axes") ?? [];
  const rank = x.shape.length + axes.length;
  const added = new Set(axes.map((a) => (a < 0 ? a + rank : a)));
  const rest = [...x.shape];
  return reshape(
    x,
    Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : (rest.shift() ?? 1))),
  );
}

function squeezed(call: Call): Value {
  const x = value(call, 0);
  const axes = intsFrom(call, 1, "axes")?.map((a) => axisIn(x, a));
  return reshape(
    x,
    x.shape.filter((d, i) => (axes ? !axes.includes(i) : d !== 1)),
  );
}

function splitUp(call: Call): readonly Value[] {
  const x = value(call, 0);
  const axis = axisIn(x, int(call, "axis", 0));
  const total = x.shape[axis];
  const count = call.node.outputs.length;
  if (int(call, "num_outputs", count) !== count)
    throw new RangeError(`its num_outputs is ${int(call, "num_outputs", count)}, but it has ${count} outputs.`);
  const each = Math.ceil(total / count);
  const even = Array.from({ length: count }, (_, i) => Math.min(each, total - i * each));
  return split(x, intsFrom(call, 1, "split") ?? even, axis);
}

function sliced(call: Call): Value {
  const x = value(call, 0);
  const starts = intsFrom(call, 1, "starts") ?? [];
  const ends = intsFrom(call, 2, "ends") ?? [];
  const axes = intsFrom(call, 3, "axes") ?? starts.map((_, i) => i);
  const steps = intsFrom(call, 4, "steps") ?? starts.map(() => 1);
  return axes.reduce((y, a, i) => {
    const axis = axisIn(y, a);
    const size = y.shape[axis];
    const step = steps[i];
    const clamped = (v: number, low: number, high: number) => Math.min(high, Math.max(low, v < 0 ? v + size : v));
    const [from, to] =
      step > 0
        ? [clamped(starts[i], 0, size), clamped(ends[i], 0, size)]
        : [clamped(starts[i], 0, size - 1), clamped(ends[i], -1, size - 1)];
    return from === 0 && to === size && step === 1 ? y : sliceAxis(y, axis, from, to, step);
  }, x);
}

function gathered(call: Call): Value {
  const [x, index] = [value(call, 0), value(call, 1)];
  const axis = axisIn(x, int(call, "axis", 0));
  const size = x.shape[axis];
  const shape = [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)];
  if (!isHost(index)) return gatherRows(x, axis, fromEnd(index, size));
  const positions = Array.from(index.data, (v) => (v < 0 ? v + size : v));
  const wrong = positions.find((p) => p < 0 || p >= size);
  if (wrong !== undefined) throw new RangeError(`its index ${wrong} is outside axis ${axis} of [${x.shape}].`);
  if (isHost(x)) return reshape(takeHost(x, axis, positions), shape);
  const step = positions.length > 1 ? positions[1] - positions[0] : 1;
  const regular = step !== 0 && positions.every((p, i) => p === positions[0] + i * step);
  if (regular) {
    const [first, last] = [positions[0], positions[positions.length - 1]];
    return reshape(sliceAxis(x, axis, first, step > 0 ? last + 1 : last - 1, step), shape);
  }
  return gatherRows(x, axis, tensor({ ...index, data: Float64Array.from(positions) }));
}

/** Rows by an index; other axes are turned to the front, other types made floats. */
function gatherRows(x: Value, axis: number, index: g.Tensor): Value {
  if (x.dtype !== "float32") return cast(gatherRows(cast(x, "float32"), axis, index), x.dtype);
  const rest = x.shape.map((_, i) => i).filter((i) => i !== axis);
  const rows = g.embedding(tensor(transpose(x, [axis, ...rest])), index);
  const k = index.shape.length;
  const picked = index.shape.map((_, i) => i);
  const others = rest.map((_, i) => k + i);
  return g.transpose(rows, [...others.slice(0, axis), ...picked, ...others.slice(axis)]);
}

/** Indices below 0 count from the end of `size` places. */
export function fromEnd(index: Value, size: number): g.Tensor {
  if (isHost(index)) return tensor({ ...index, data: Float64Array.from(index.data, (v) => (v < 0 ? v + size : v)) });
  const places = g.cast(index, "float32");
  return g.cast(g.where(g.less(places, 0), g.add(places, size), places), "int64");
}

/** One value along an axis per index: a product with one-hot rows, summed. */
function gatheredElements(call: Call): Value {
  const given = at(call, 0);
  const axis = axisIn(given, int(call, "axis", 0));
  const size = given.shape[axis];
  const index = fromEnd(value(call, 1), size);
  const fits =
    index.shape.length === given.shape.length && given.shape.every((d, i) => i === axis || index.shape[i] <= d);
  if (!fits)
    throw new RangeError(`its index [${index.shape}] must not be larger than [${given.shape}] but on axis ${axis}.`);
  // On the other axes an index that is smaller reads the first positions.
  const x = tensor(index.shape.reduce<Value>((y, d, i) => (i === axis ? y : sliceAxis(y, i, 0, d)), given));
  const last = (t: g.Tensor) => {
    const perm = t.shape.map((_, i) => i).filter((i) => i !== axis);
    return g.transpose(t, [...perm, axis]);
  };
  const [values, places] = [last(x), last(index)];
  const rows = g.oneHot(g.flatten(places), size);
  const hot = g.reshape(rows, [...places.shape, size]);
  const picked = g.sum(g.mul(g.unsqueeze(g.cast(values, "float32"), -2), hot), [-1]);
  const perm = x.shape.map((_, i) => i).slice(0, -1);
  return cast(g.transpose(picked, [...perm.slice(0, axis), perm.length, ...perm.slice(axis)]), x.dtype);
}

function padded(call: Call): Value {
  const x = value(call, 0);
  const rank = x.shape.length;
  const given = intsFrom(call, 1, "pads") ?? ints(call, "paddings", []);
  const axes = call.inputs[3] === undefined ? x.shape.map((_, i) => i) : knownInts(call, 3).map((a) => axisIn(x, a));
  const pads = Array.from({ length: rank }, (): [number, number] => [0, 0]);
  axes.forEach((axis, i) => {
    pads[axis] = [given[i], given[i + axes.length]];
  });
  // Negative ones cut off.
  const cut = pads.reduce<Value>(
    (y, [before, after], i) =>
      before < 0 || after < 0 ? sliceAxis(y, i, Math.max(0, -before), y.shape[i] - Math.max(0, -after)) : y,
    x,
  );
  const rest = pads.map(([b, a]): [number, number] => [Math.max(0, b), Math.max(0, a)]);
  if (rest.every(([b, a]) => b === 0 && a === 0)) return cut;
  const mode = text(call, "mode", "constant");
  const fill = call.inputs[2] !== undefined ? known(call, 2).data[0] : number(call, "value", 0);
  if (mode === "reflect") return g.pad(tensor(cut), rest, "reflect");
  if (mode === "constant") return cast(g.pad(tensor(cast(cut, "float32")), rest, fill), x.dtype);
  return rest.reduce<Value>((y, [b, a], axis) => {
    const n = y.shape[axis];
    const row = (from: number, to: number, count: number): Value =>
      mode === "edge"
        ? expand(
            sliceAxis(y, axis, from, from + 1),
            y.shape.map((d, i) => (i === axis ? count : d)),
          )
        : sliceAxis(y, axis, from, to);
    const parts = [y];
    if (b > 0) parts.unshift(mode === "edge" ? row(0, 1, b) : row(n - b, n, b));
    if (a > 0) parts.push(mode === "edge" ? row(n - 1, n, a) : row(0, a, a));
    return concat(parts, axis);
  }, cut);
}

function tiled(call: Call): Value {
  const x = value(call, 0);
  const repeats = knownInts(call, 1);
  const open = x.shape.flatMap((d) => [1, d]);
  const full = x.shape.flatMap((d, i) => [repeats[i], d]);
  return reshape(
    expand(reshape(x, open), full),
    x.shape.map((d, i) => d * repeats[i]),
  );
}

function depthToSpace(call: Call): Value {
  const x = value(call, 0);
  const [n, c, h, w] = x.shape;
  const b = int(call, "blocksize", 1);
  const deep = c / (b * b);
  const y =
    text(call, "mode", "DCR") === "DCR"
      ? transpose(reshape(x, [n, b, b, deep, h, w]), [0, 3, 4, 1, 5, 2])
      : transpose(reshape(x, [n, deep, b, b, h, w]), [0, 1, 4, 2, 5, 3]);
  return reshape(y, [n, deep, h * b, w * b]);
}
function spaceToDepth(call: Call): Value {
  const x = value(call, 0);
  const [n, c, h, w] = x.shape;
  const b = int(call, "blocksize", 1);
  const cut = transpose(reshape(x, [n, c, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4]);
  return reshape(cut, [n, c * b * b, h / b, w / b]);
}

/** Only where nothing is dropped; the second output, the mask, is all true. */
const dropout = (call: Call): readonly Value[] => {
  const x = value(call, 0);
  if (call.inputs[2] !== undefined && known(call, 2).data[0] !== 0)
    throw new RangeError("it is in training mode; export the model for inference (model.eval()).");
  return [x, expand({ dtype: "bool", shape: [], data: Float64Array.of(1) }, x.shape)];
};

export const movement: Rules = {
  Reshape: rule("allowzero shape", reshaped),
  Flatten: rule("axis", flattened),
  Transpose: rule("perm", (call) => {
    const x = value(call, 0);
    return transpose(x, ints(call, "perm", x.shape.map((_, i) => i).reverse()));
  }),
  Squeeze: rule("axes", squeezed),
  Unsqueeze: rule("axes", unsqueezed),
  Concat: rule("axis", (call) =>
    concat(
      call.inputs.map((_, i) => value(call, i)),
      int(call, "axis", 1),
    ),
  ),
  Split: rule("axis split num_outputs", splitUp),
  Slice: rule("starts ends axes", sliced),
  Gather: rule("axis", gathered),
  GatherElements: rule("axis", gatheredElements),
  Expand: rule("", (call) => expandBoth(value(call, 0), knownInts(call, 1))),
  Tile: rule("", tiled),
  Pad: rule("pads paddings value", padded, { mode: ["constant", "reflect", "edge", "wrap"] }),
  DepthToSpace: rule("blocksize", depthToSpace, { mode: ["DCR", "CRD"] }),
  SpaceToDepth: rule("blocksize", spaceToDepth),
  Dropout: rule("ratio seed", dropout, { is_test: [1] }),
};
