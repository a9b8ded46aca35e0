// Particles as pixels: points of the plane written into an image, which draws ten thousand of them in a millisecond.

/** Red, green, blue, 0 to 255. */
export type Color = readonly [number, number, number];

/** "#33415c" or, as builds shorten it, "#fff". Throws an Error for another notation. */
export function readColor(text: string): Color {
  const digits = text.trim().match(/^#([0-9a-f]{3}|[0-9a-f]{6})$/i)?.[1];
  if (!digits) throw new Error(`"${text}" is no color like #33415c.`);
  const long = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const [r, g, b] = [0, 2, 4].map((at) => Number.parseInt(long.slice(at, at + 2), 16));
  return [r, g, b];
}

/** An image as 32-bit pixels, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint32Array;
}

/** Half the width of what is seen: the plane from −REACH to REACH in both directions. */
export const REACH = 3;

/** Pixels of a point of the plane; y goes up. */
export const toPixel = (value: number, size: number): number => ((value + REACH) / (2 * REACH)) * size;
export const toPlane = (pixel: number, size: number): number => (pixel / size) * 2 * REACH - REACH;

const pack = (r: number, g: number, b: number): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

export function fill({ data }: Pick<Pixels, "data">, [r, g, b]: Color): void {
  data.fill(pack(r, g, b));
}

/**
 * Blends every point [n, 2] over the image as a square of `side` pixels. Points outside the image and points that are no
 * numbers are left out; how many were drawn is returned.
 */
export function drawPoints(image: Pixels, points: ArrayLike<number>, color: Color, opacity: number, side = 2): number {
  const { width, height, data } = image;
  const [r, g, b] = color;
  const keep = Math.round(256 * (1 - opacity));
  const [addR, addG, addB] = [r, g, b].map((c) => c * (256 - keep));
  const n = points.length >> 1;
  const half = side / 2;
  let drawn = 0;
  for (let i = 0; i < n; i++) {
    const left = Math.floor(toPixel(points[2 * i], width) - half + 0.5);
    const top = Math.floor(height - toPixel(points[2 * i + 1], height) - half + 0.5);
    if (!(left > -side && left < width && top > -side && top < height)) continue;
    drawn++;
    const [right, bottom] = [Math.min(width, left + side), Math.min(height, top + side)];
    for (let y = Math.max(0, top); y < bottom; y++) {
      for (let x = Math.max(0, left); x < right; x++) {
        const at = y * width + x;
        const was = data[at];
        data[at] =
          ((255 << 24) |
            (((((was >>> 16) & 255) * keep + addB) >> 8) << 16) |
            (((((was >>> 8) & 255) * keep + addG) >> 8) << 8) |
            (((was & 255) * keep + addR) >> 8)) >>>
          0;
      }
    }
  }
  return drawn;
}

/** The point nearest to (x, y) and no farther than `within`; −1: there is none. */
export function nearest(points: ArrayLike<number>, x: number, y: number, within: number): number {
  let [found, best] = [-1, within * within];
  for (let i = 0; 2 * i + 1 < points.length; i++) {
    const [dx, dy] = [points[2 * i] - x, points[2 * i + 1] - y];
    const d = dx * dx + dy * dy;
    if (d <= best) [found, best] = [i, d];
  }
  return found;
}
