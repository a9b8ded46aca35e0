// Bilinear resizing of images, as PyTorch's interpolate(mode="bilinear", align_corners=False, antialias=…) does it.

/** What each output pixel of a line reads: pixels first[i], first[i] + 1, … with these weights, which sum to one. */
interface Taps {
  readonly first: Int32Array;
  readonly weights: readonly Float64Array[];
}

/**
 * x [n, from height, from width] to [n, to height, to width]. Pixel centers are at halves, edges repeat. With `antialias`
 * the triangle filter widens when shrinking, so that every pixel counts; without it, shrinking skips pixels.
 */
export function resizeBilinear(
  x: Float32Array,
  [height, width]: readonly [number, number],
  [toHeight, toWidth]: readonly [number, number],
  antialias: boolean,
): Float32Array {
  if (height === toHeight && width === toWidth) return x;
  const n = x.length / (height * width);
  const [rows, columns] = [taps(height, toHeight, antialias), taps(width, toWidth, antialias)];
  const out = new Float32Array(n * toHeight * toWidth);
  const line = new Float64Array(width);
  for (let image = 0; image < n; image++)
    for (let i = 0; i < toHeight; i++) {
      line.fill(0);
      rows.weights[i].forEach((w, k) => {
        const from = (image * height + rows.first[i] + k) * width;
        for (let j = 0; j < width; j++) line[j] += w * x[from + j];
      });
      const to = (image * toHeight + i) * toWidth;
      for (let j = 0; j < toWidth; j++) {
        const weights = columns.weights[j];
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * line[columns.first[j] + k];
        out[to + j] = sum;
      }
    }
  return out;
}

function taps(from: number, to: number, antialias: boolean): Taps {
  const scale = from / to;
  const first = new Int32Array(to);
  const weights = Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    if (!antialias || scale <= 1) {
      const at = Math.min(Math.max(center - 0.5, 0), from - 1);
      first[i] = Math.min(Math.floor(at), Math.max(0, from - 2));
      return from === 1 ? Float64Array.of(1) : Float64Array.of(1 - (at - first[i]), at - first[i]);
    }
    const low = Math.max(0, Math.floor(center - scale + 0.5));
    const high = Math.min(from, Math.floor(center + scale + 0.5));
    first[i] = low;
    const raw = Float64Array.from({ length: high - low }, (_, k) =>
      Math.max(0, 1 - Math.abs(low + k + 0.5 - center) / scale),
    );
    const sum = raw.reduce((s, w) => s + w, 0);
    return raw.map((w) => w / sum);
  });
  return { first, weights };
}
