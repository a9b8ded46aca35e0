// Bicubic resizing of 8-bit pictures as PIL does it: the filter grows where the picture shrinks, both passes round to 8 bits.
import type { Image } from "./tiles.ts";

/** Keys' cubic with a = -0.5. */
function cubic(distance: number): number {
  const x = Math.abs(distance);
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

const BITS = 22; // of PIL's fixed-point weights

interface Taps {
  readonly from: number;
  readonly weights: Int32Array;
}

function taps(size: number, target: number): Taps[] {
  const scale = size / target;
  const wide = Math.max(1, scale);
  const support = 2 * wide;
  return Array.from({ length: target }, (_, i) => {
    const center = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(size, Math.trunc(center + support + 0.5));
    const weights = Array.from({ length: to - from }, (_, k) => cubic((from + k - center + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { from, weights: Int32Array.from(weights, (w) => Math.round((w / sum) * 2 ** BITS)) };
  });
}

const clip = (sum: number): number => Math.min(255, Math.max(0, (sum + 2 ** (BITS - 1)) >> BITS));

/** picture [B, C, H, W], 0 to 255 (rounded to whole numbers first); [B, C, height, width], whole numbers. */
export function resizeBicubic({ shape, data }: Image, height: number, width: number): Image {
  const [batch, channels, h, w] = shape;
  if (h === height && w === width) return { shape, data };
  const planes = batch * channels;
  const whole = data.map((value) => Math.min(255, Math.max(0, Math.round(value))));
  const columns = taps(w, width);
  const wide = new Float32Array(planes * h * width);
  for (let row = 0; row < planes * h; row++)
    columns.forEach(({ from, weights }, x) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += whole[row * w + from + k] * weights[k];
      wide[row * width + x] = clip(sum);
    });
  const rows = taps(h, height);
  const out = new Float32Array(planes * height * width);
  for (let plane = 0; plane < planes; plane++)
    rows.forEach(({ from, weights }, y) => {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += wide[(plane * h + from + k) * width + x] * weights[k];
        out[(plane * height + y) * width + x] = clip(sum);
      }
    });
  return { shape: [batch, channels, height, width], data: out };
}
