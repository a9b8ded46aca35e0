// Up- and downsampling of NCHW tensors by integer factors, and pooling.

import { conv2d } from "./conv.ts";
import { matmul } from "./matmul.ts";
import { div, maximum, mul } from "./pointwise.ts";
import { pad, reshape, slice } from "./shape.ts";
import { constant, expectFloat, operator, type Tensor } from "./tensor.ts";

// Nearest upsampling and the mean over blocks are adjoint up to a factor, so each one's rule is the other.
const nearestOp = operator<{ scale: number }>({
  name: "upsample_nearest",
  infer: ([x], { scale }) => {
    expectFloat("upsampleNearest", x);
    const [n, c, h, w] = x.shape;
    return [{ shape: [n, c, h * scale, w * scale], dtype: "float32" }];
  },
  emit: (to, [x], { scale }) => [
    to.op("Resize", [x, "", to.floats([1, 1, scale, scale])], {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    }),
  ],
  vjp: ([ct], _, { scale }) => [ct && mul(blockMean([ct], { scale })[0], scale * scale)],
  jvp: "linear",
});
const blockMean = operator<{ scale: number }>({
  name: "block_mean",
  infer: ([x], { scale }) => {
    const [n, c, h, w] = x.shape;
    return [{ shape: [n, c, h / scale, w / scale], dtype: "float32" }];
  },
  emit: (to, [x], { scale }) => [to.op("AveragePool", [x], { kernel_shape: [scale, scale], strides: [scale, scale] })],
  vjp: ([ct], _, { scale }) => [ct && div(upsampleNearest(ct, scale), scale * scale)],
  jvp: "linear",
});

/** [B, C, H, W] to [B, C, scale·H, scale·W], every pixel repeated. */
export const upsampleNearest = (x: Tensor, scale: number): Tensor => nearestOp([x], { scale })[0];

/** Half-pixel centers, edges repeated (align_corners false). A product with two small constant matrices. */
export function upsampleBilinear(x: Tensor, scale: number): Tensor {
  const [, , h, w] = x.shape;
  return matmul(matmul(interpolation(h, scale), x), interpolation(w, scale), { transB: true });
}
function interpolation(n: number, scale: number): Tensor {
  const weights = new Float32Array(n * scale * n);
  for (let i = 0; i < n * scale; i++) {
    const center = Math.max(0, (i + 0.5) / scale - 0.5);
    const low = Math.min(n - 1, Math.floor(center));
    const high = Math.min(n - 1, low + 1);
    weights[i * n + low] += 1 - (center - low);
    weights[i * n + high] += center - low;
  }
  return constant(weights, [n * scale, n]);
}

export interface PoolOptions {
  kernel: readonly [number, number];
  stride?: readonly [number, number];
  padding?: readonly [number, number];
}

/** Mean over a moving window; `countIncludePad` false divides by the number of real pixels only. */
export function avgPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = [0, 0], countIncludePad = true }: PoolOptions & { countIncludePad?: boolean },
): Tensor {
  const [n, c, h, w] = x.shape;
  const [k] = kernel;
  const blocks =
    kernel.concat(stride).every((d) => d === k) && padding.every((p) => p === 0) && h % k === 0 && w % k === 0;
  if (blocks) return blockMean([x], { scale: k })[0];
  const ones = (value: number): Tensor =>
    constant(new Float32Array(kernel[0] * kernel[1]).fill(value), [1, 1, ...kernel]);
  const options = { stride, padding } as const;
  if (countIncludePad) {
    const y = conv2d(reshape(x, [n * c, 1, h, w]), ones(1 / (kernel[0] * kernel[1])), undefined, options);
    return reshape(y, [n, c, ...y.shape.slice(2)]);
  }
  const total = conv2d(reshape(x, [n * c, 1, h, w]), ones(1), undefined, options);
  const count = conv2d(constant(new Float32Array(h * w).fill(1), [1, 1, h, w]), ones(1), undefined, options);
  const y = div(total, count);
  return reshape(y, [n, c, ...y.shape.slice(2)]);
}

/** Maximum over a moving window, as a chain of maxima of shifted inputs; ties go to the first position. */
export function maxPool2d(x: Tensor, { kernel, stride = kernel, padding = [0, 0] }: PoolOptions): Tensor {
  const [ph, pw] = padding;
  const padded = pad(
    x,
    [
      [0, 0],
      [0, 0],
      [ph, ph],
      [pw, pw],
    ],
    -3.4e38,
  );
  const [n, c, h, w] = padded.shape;
  const ho = Math.floor((h - kernel[0]) / stride[0]) + 1;
  const wo = Math.floor((w - kernel[1]) / stride[1]) + 1;
  const parts: Tensor[] = [];
  for (let i = 0; i < kernel[0]; i++)
    for (let j = 0; j < kernel[1]; j++)
      parts.push(
        slice(padded, [
          [0, n],
          [0, c],
          [i, i + (ho - 1) * stride[0] + 1, stride[0]],
          [j, j + (wo - 1) * stride[1] + 1, stride[1]],
        ]),
      );
  return parts.reduce((a, b) => maximum(a, b));
}
