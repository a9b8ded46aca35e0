// Blocks written out as plain loops in float64: an oracle that shares nothing with the code under test.

export interface Image {
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
  readonly data: Float64Array;
}

export function image(shape: Image["shape"], at: (n: number, c: number, y: number, x: number) => number): Image {
  const [batch, channels, height, width] = shape;
  const data = new Float64Array(batch * channels * height * width);
  let i = 0;
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data[i++] = at(n, c, y, x);
  return { shape, data };
}

/** The value there, or zero outside. */
export function pixel({ shape: [, channels, height, width], data }: Image, n: number, c: number, y: number, x: number) {
  return y < 0 || x < 0 || y >= height || x >= width ? 0 : data[((n * channels + c) * height + y) * width + x];
}

export const map = (a: Image, f: (v: number) => number): Image => ({ shape: a.shape, data: a.data.map(f) });
export const zip = (a: Image, b: Image, f: (v: number, w: number) => number): Image => ({
  shape: a.shape,
  data: a.data.map((v, i) => f(v, b.data[i])),
});

export const silu = (v: number): number => v / (1 + Math.exp(-v));

/** Square kernel with `before` zeros at the top and left; weight [out, in, k, k]. */
export function conv(
  a: Image,
  weight: Float32Array,
  bias: Float32Array,
  k: number,
  before: number,
  stride: number,
  after = before,
): Image {
  const [batch, channels, height, width] = a.shape;
  const size = (n: number) => Math.floor((n + before + after - k) / stride) + 1;
  return image([batch, bias.length, size(height), size(width)], (n, o, y, x) => {
    let sum = bias[o];
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < k; i++)
        for (let j = 0; j < k; j++)
          sum +=
            weight[((o * channels + c) * k + i) * k + j] *
            pixel(a, n, c, y * stride + i - before, x * stride + j - before);
    return sum;
  });
}

export function groupNorm(a: Image, groups: number, weight: Float32Array, bias: Float32Array, eps: number): Image {
  const [batch, channels, height, width] = a.shape;
  const per = channels / groups;
  const stats = Array.from({ length: batch * groups }, (_, g) => {
    const values = a.data.subarray(g * per * height * width, (g + 1) * per * height * width);
    const mean = values.reduce((s, v) => s + v, 0) / values.length;
    return { mean, sd: Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length + eps) };
  });
  return image(a.shape, (n, c, y, x) => {
    const { mean, sd } = stats[n * groups + Math.floor(c / per)];
    return ((pixel(a, n, c, y, x) - mean) / sd) * weight[c] + bias[c];
  });
}

export const halve = (a: Image): Image => {
  const [batch, channels, height, width] = a.shape;
  return image([batch, channels, height / 2, width / 2], (n, c, y, x) =>
    [0, 1, 2, 3].reduce((s, k) => s + pixel(a, n, c, 2 * y + (k >> 1), 2 * x + (k & 1)) / 4, 0),
  );
};

/** Nearest neighbour to any size, by the definition floor(i in / out). */
export function resize(a: Image, height: number, width: number): Image {
  const [batch, channels, h, w] = a.shape;
  return image([batch, channels, height, width], (n, c, y, x) =>
    pixel(a, n, c, Math.floor((y * h) / height), Math.floor((x * w) / width)),
  );
}
