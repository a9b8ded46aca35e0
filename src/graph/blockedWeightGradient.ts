// The weight gradient of a convolution as one convolution in the runtime's blocked layout, at the forward's speed.
//
// dw[o, c, i, j] = sum over n, h, w of dy[n, o, h, w] · x[n, c, s·h + i, s·w + j]. Read n as the input channel, dy as a
// kernel of size H' x W', and the image as rows h of pixels (w, c), c fastest: a step in w is a step of C pixels, so the
// kernel has dilation (s, s·C), and its outputs stand in rows i at pixels (j, c). No copy is made for the shifts. Of C,
// one block at a time is a pixel's neighborhood; the blocks of channels are the batch.

import { permuteRuns } from "./blockedConv.ts";
import type { ConvGradAttrs } from "./conv.ts";
import type { Emitter } from "./emitter.ts";
import type { Shape } from "./tensor.ts";

/** Whether batch and channels fill blocks, and the shape of the problem is one that the layout can express. */
export function blockableGradient(to: Emitter, a: ConvGradAttrs, [n, c]: Shape, dys: Shape): boolean {
  const b = to.block;
  const fits = b > 1 && [n, c, dys[1]].every((size) => size % b === 0);
  return fits && a.groups === 1 && a.size[0] * a.size[1] > 1 && a.dilation.every((d) => d === 1);
}

/** x [N, C, H, W], dy [N, O, H', W'] to dw [O, C, kh, kw]. */
export function emitBlockedGradient(
  to: Emitter,
  x: string,
  dy: string,
  a: ConvGradAttrs,
  [n, c, h, w]: Shape,
  [, o, ho, wo]: Shape,
): string {
  const b = to.block;
  const reshape = (t: string, shape: Shape) => to.op("Reshape", [t, to.ints(shape)]);
  // Transposing does not see that one block of channels is in front already.
  const swap = (t: string, rank: number) =>
    c === b ? t : to.op("Transpose", [t], { perm: Array.from({ length: rank }, (_, i) => (i < 2 ? 1 - i : i)) });
  const [kh, kw] = a.size;
  // What the kernel does not reach at the right and at the bottom is cut off: pads there may be negative.
  const reach = [(ho - 1) * a.stride[0] + kh, (wo - 1) * a.stride[1] + kw];
  const bottom = reach[0] - h - a.pads[0];
  const [left, right] = [a.pads[1], reach[1] - w - a.pads[1]];

  // The blocks of channels in front, the batch as channels: a single block of images gets there by the reordering alone.
  // Pads within a row are made here: in the convolution they would be slow, as most of its outputs would touch them.
  const parts = reshape(to.op("nchwc.ReorderInput", [x]), [n, c / b, h, w * b]);
  const single = n === b;
  const front = single ? parts : reshape(swap(parts, 4), [c / b, n, h, w * b]);
  const cut = bottom < 0 ? bottom : 0;
  const padded = padRows(to, front, single ? [n, c / b, h] : [c / b, n, h], left * b, right * b, cut);
  const [height, width] = [h + cut, (left + w + right) * b];
  const image = single
    ? reshape(to.op("nchwc.ReorderInput", [reshape(padded, [1, n, (c / b) * height, width])]), [
        c / b,
        n,
        height,
        width,
      ])
    : to.op("nchwc.ReorderInput", [padded]);

  const blocks = to.op("nchwc.ReorderInput", [dy]);
  const kernel = reshape(permuteRuns(to, blocks, [n / b, b, o / b, ho * wo], [2, 0, 3, 1]), [o, n, ho, wo]);

  const y = to.op("nchwc.Conv", [image, kernel], {
    kernel_shape: [ho, wo],
    strides: [1, 1],
    pads: [a.pads[0], 0, Math.max(bottom, 0), 0],
    dilations: [a.stride[0], a.stride[1] * b],
    group: 1,
  });
  const plain = reshape(to.op("nchwc.ReorderOutput", [y], { channels: o }), [c / b, o, kh * kw * b]);
  // Now the channels of the weight are in blocks.
  const weight = reshape(swap(plain, 3), [o, c, kh, kw]);
  return to.op("nchwc.ReorderOutput", [weight], { channels: c });
}

/** x [...outer, length] with zeros at both ends of its rows; negative pads and `cut`, of the last outer axis, take away. */
function padRows(to: Emitter, x: string, outer: Shape, left: number, right: number, cut: number): string {
  if (cut < 0 || left < 0 || right < 0) return to.op("Pad", [x, to.ints([0, 0, 0, left, 0, 0, cut, right])]);
  if (left === 0 && right === 0) return x;
  // Joined to zeros it takes half the time of Pad.
  const zeros = (length: number) =>
    length > 0 ? [to.op("Expand", [to.floats([0]), to.ints([...outer, length])])] : [];
  return to.op("Concat", [...zeros(left), x, ...zeros(right)], { axis: 3 });
}
