// Large pictures through an autoencoder in tiles that overlap, and batches one at a time: less memory, as diffusers does it.

/** Row-major [B, C, H, W]. */
export interface Image {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The work on one tile; its size may differ at the right and lower edges. */
export type TileWork = (tile: Image) => Promise<Image>;

export interface Tiling {
  /** Side of a tile, in the input and in the output. */
  readonly input: number;
  readonly output: number;
  /** Part of a tile that it shares with its neighbor, 0 to below 1. */
  readonly overlap: number;
}

/** Of an AutoencoderKL by diffusers' rule: tiles of sample_size pixels, and of as many latents as that makes. */
export function tileSizes(sampleSize: number, levels: number, overlap = 0.25): { encode: Tiling; decode: Tiling } {
  const latents = Math.trunc(sampleSize / 2 ** (levels - 1));
  return {
    encode: { input: sampleSize, output: latents, overlap },
    decode: { input: latents, output: sampleSize, overlap },
  };
}

/**
 * Whatever is no larger than a tile goes through in one piece. Tiles start every trunc(input (1 - overlap)), also where
 * only a sliver is left; each is blended with the one above and then with the one to the left, which are blended already.
 * Throws RangeError for a tile or an overlap that leaves nothing.
 */
export async function tiled(x: Image, { input, output, overlap }: Tiling, work: TileWork): Promise<Image> {
  const [, , height, width] = x.shape;
  const stride = Math.trunc(input * (1 - overlap));
  const extent = Math.trunc(output * overlap);
  if (!(overlap >= 0 && overlap < 1) || stride < 1 || output - extent < 1)
    throw new RangeError(
      `Tiles of ${input} with an overlap of ${overlap} do not move on; expected an overlap from 0 to below 1 and larger tiles.`,
    );
  if (height <= input && width <= input) return work(x);
  const rows: Image[][] = [];
  for (let top = 0; top < height; top += stride) {
    const row: Image[] = [];
    for (let left = 0; left < width; left += stride) {
      let tile = await work(crop(x, top, left, input, input));
      const above = rows.at(-1)?.[row.length];
      const before = row.at(-1);
      if (above) tile = blend(above, tile, extent, "rows");
      if (before) tile = blend(before, tile, extent, "columns");
      row.push(tile);
    }
    rows.push(row);
  }
  const keep = output - extent;
  return joined(rows.map((row) => row.map((tile) => crop(tile, 0, 0, keep, keep))));
}

/** One sample at a time. */
export async function sliced(x: Image, work: TileWork): Promise<Image> {
  const [batch] = x.shape;
  if (batch === 1) return work(x);
  const size = x.data.length / batch;
  const parts: Image[] = [];
  for (let b = 0; b < batch; b++)
    parts.push(await work({ shape: [1, ...x.shape.slice(1)], data: x.data.slice(b * size, (b + 1) * size) }));
  const data = new Float32Array(parts.reduce((n, part) => n + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { shape: [batch, ...parts[0].shape.slice(1)], data };
}

/** At most rows x columns from a corner. */
function crop({ shape, data }: Image, top: number, left: number, rows: number, columns: number): Image {
  const [batch, channels, height, width] = shape;
  const [h, w] = [Math.min(rows, height - top), Math.min(columns, width - left)];
  const out = new Float32Array(batch * channels * h * w);
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < h; y++) {
      const from = (plane * height + top + y) * width + left;
      out.set(data.subarray(from, from + w), (plane * h + y) * w);
    }
  return { shape: [batch, channels, h, w], data: out };
}

/** Over `extent` rows (or columns) from the end of `a` to the start of `b`, the weight of b growing from 0. */
function blend(a: Image, b: Image, extent: number, along: "rows" | "columns"): Image {
  const [batch, channels, height, width] = b.shape;
  const [, , heightA, widthA] = a.shape;
  const n = along === "rows" ? Math.min(heightA, height, extent) : Math.min(widthA, width, extent);
  const data = b.data.slice();
  const [rows, columns] = along === "rows" ? [n, Math.min(width, widthA)] : [Math.min(height, heightA), n];
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++) {
        const weight = (along === "rows" ? y : x) / n;
        const inA =
          along === "rows"
            ? (plane * heightA + heightA - n + y) * widthA + x
            : (plane * heightA + y) * widthA + widthA - n + x;
        const inB = (plane * height + y) * width + x;
        data[inB] = a.data[inA] * (1 - weight) + b.data[inB] * weight;
      }
  return { shape: b.shape, data };
}

function joined(rows: readonly (readonly Image[])[]): Image {
  const [batch, channels] = rows[0][0].shape;
  const height = rows.reduce((n, [first]) => n + first.shape[2], 0);
  const width = rows[0].reduce((n, { shape }) => n + shape[3], 0);
  const data = new Float32Array(batch * channels * height * width);
  let top = 0;
  for (const row of rows) {
    let left = 0;
    for (const { shape, data: tile } of row) {
      const [, , h, w] = shape;
      for (let plane = 0; plane < batch * channels; plane++)
        for (let y = 0; y < h; y++) {
          const from = (plane * h + y) * w;
          data.set(tile.subarray(from, from + w), (plane * height + top + y) * width + left);
        }
      left += w;
    }
    top += row[0].shape[2];
  }
  return { shape: [batch, channels, height, width], data };
}
