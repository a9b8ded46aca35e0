// Pools of one and two dimensions.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, type Call, int, ints, type Rules, rule } from "../call.ts";
import { atMost, fewParts } from "../limits.ts";
import { asImage, type Window, windowOf } from "./window.ts";

const WINDOW = "auto_pad ceil_mode dilations kernel_shape pads strides";

function averagePool(call: Call): Tensor {
  return asImage(at(call, 0), (given) => {
    const { x, w } = cut(given, windowOf(call, given.shape.slice(2), ints(call, "kernel_shape", []), true));
    const [n, c, height, width] = x.shape;
    fewParts(w.kernel[0] * w.kernel[1], "places in its window");
    const simple = [...w.pads, ...w.over].every((p) => p === 0) && w.dilation.every((d) => d === 1);
    if (simple) return g.avgPool2d(x, { kernel: w.kernel, stride: w.stride });
    const ones = g.constant(new Float32Array(w.kernel[0] * w.kernel[1]).fill(1), [1, 1, ...w.kernel]);
    const [top, left, bottom, right] = w.pads;
    const total = g.conv2d(g.reshape(x, [n * c, 1, height, width]), ones, undefined, {
      stride: w.stride,
      dilation: w.dilation,
      padding: [top, left, bottom + w.over[0], right + w.over[1]],
    });
    const [, , ho, wo] = total.shape;
    atMost([ho, wo]);
    atMost([Math.max(ho, wo), Math.max(...w.kernel)]);
    const padded = int(call, "count_include_pad", 0) === 1;
    const share = [counts(w, 0, height, ho, padded), counts(w, 1, width, wo, padded)];
    const weights = share[0].flatMap((rows) => share[1].map((columns) => 1 / (rows * columns)));
    return g.reshape(g.mul(total, g.constant(weights, [1, 1, ho, wo])), [n, c, ho, wo]);
  });
}

/** Of each window, how many positions count: those on the image, or also those on the padding. */
function counts(w: Window, axis: 0 | 1, size: number, outputs: number, padded: boolean): number[] {
  const before = w.pads[axis];
  const end = size + before + (padded ? w.pads[axis + 2] : 0);
  const begin = padded ? 0 : before;
  return Array.from({ length: outputs }, (_, i) => {
    let count = 0;
    for (let k = 0; k < w.kernel[axis]; k++) {
      const place = i * w.stride[axis] + k * w.dilation[axis];
      if (place >= begin && place < end) count++;
    }
    return count;
  });
}

/** The image without what padding below 0 cuts off, and the window on the rest. */
function cut(x: Tensor, w: Window): { x: Tensor; w: Window } {
  const off = w.pads.map((p) => Math.max(0, -p));
  const rest = [0, 1].reduce((y, i) => g.sliceAxis(y, i + 2, off[i], y.shape[i + 2] - off[i + 2]), x);
  const [top, left, bottom, right] = w.pads.map((p) => Math.max(0, p));
  return { x: off.every((n) => n === 0) ? x : rest, w: { ...w, pads: [top, left, bottom, right] } };
}

/** A chain of maxima of shifted images; ties go to the first position. */
function maxPool(call: Call): Tensor {
  if (call.node.outputs.length > 1 && call.node.outputs[1] !== "")
    throw new RangeError("its second output, the positions of the maxima, is not supported.");
  return asImage(at(call, 0), (given) => {
    const { x, w } = cut(given, windowOf(call, given.shape.slice(2), ints(call, "kernel_shape", []), true));
    const { kernel, stride, dilation, pads, over } = w;
    fewParts(kernel[0] * kernel[1], "places in its window");
    const image = g.pad(
      x,
      [
        [0, 0],
        [0, 0],
        [pads[0], pads[2] + over[0]],
        [pads[1], pads[3] + over[1]],
      ],
      -3.4e38,
    );
    const out = [0, 1].map((i) => Math.floor((image.shape[i + 2] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1);
    const shifted = Array.from({ length: kernel[0] * kernel[1] }, (_, k) => {
      const from = [Math.floor(k / kernel[1]) * dilation[0], (k % kernel[1]) * dilation[1]];
      return [0, 1].reduce(
        (y, i) => g.sliceAxis(y, i + 2, from[i], from[i] + (out[i] - 1) * stride[i] + 1, stride[i]),
        image,
      );
    });
    return shifted.reduce((a, b) => g.maximum(a, b));
  });
}

const space = (x: Tensor): number[] => x.shape.map((_, i) => i).slice(2);

export const pool: Rules = {
  AveragePool: rule(`${WINDOW} count_include_pad`, averagePool),
  MaxPool: rule(WINDOW, maxPool, { storage_order: [0] }),
  GlobalAveragePool: rule("", (call) => g.mean(at(call, 0), space(at(call, 0)), true)),
  GlobalMaxPool: rule("", (call) => g.max(at(call, 0), space(at(call, 0)), true)),
};
