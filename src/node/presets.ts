// Networks for `fewstep train` by the shape of the data: small enough to train on a processor.
import { buildNetwork, type Network } from "../nn/network.ts";

export const networkNames = ["mlp", "unet2d", "dit"] as const;

export interface PresetOptions {
  /** Default: mlp for points, unet2d for images. */
  readonly network?: (typeof networkNames)[number];
  /** mlp, dit: width of the blocks; unet2d: channels of the first level. */
  readonly width?: number;
  /** mlp, dit: blocks; unet2d: residual blocks per level. */
  readonly depth?: number;
}

type DataShape = readonly [channels: number, height: number, width: number];

/** Throws a RangeError where a network does not fit the data. */
export function networkFor([channels, height, width]: DataShape, classes: number, o: PresetOptions): Network {
  const points = height === 1 && width === 1;
  const family = o.network ?? (points ? "mlp" : "unet2d");
  if (points !== (family === "mlp"))
    throw new RangeError(
      `The network ${family} does not fit data of the shape ${channels} x ${height} x ${width}. Use ${points ? "mlp" : "unet2d or dit"}.`,
    );
  const labels = classes > 0 ? classes : null;
  if (family === "mlp")
    return buildNetwork({
      family,
      config: { dim: channels, width: o.width ?? 128, depth: o.depth ?? 4, classes: labels },
    });
  if (family === "dit") {
    const dim = o.width ?? 192;
    const patch = [4, 2, 1].find((p) => height % p === 0 && width % p === 0 && Math.min(height, width) >= 8 * p) ?? 1;
    const heads = [6, 4, 3, 2, 1].find((n) => dim % (32 * n) === 0) ?? 1;
    return buildNetwork({
      family,
      config: { channels, size: [height, width], patch, width: dim, depth: o.depth ?? 6, heads, classes: labels },
    });
  }
  const base = o.width ?? 32;
  const levels = levelsFor(height, width);
  const attention = (name: string, level: number) => `${level === levels - 1 && levels > 1 ? "Attn" : ""}${name}`;
  return buildNetwork({
    family,
    config: {
      sample_size: [height, width],
      in_channels: channels,
      out_channels: channels,
      block_out_channels: Array.from({ length: levels }, (_, i) => base * 2 ** i),
      down_block_types: Array.from({ length: levels }, (_, i) => attention("DownBlock2D", i)),
      up_block_types: Array.from({ length: levels }, (_, i) => attention("UpBlock2D", levels - 1 - i)),
      layers_per_block: o.depth ?? 1,
      norm_num_groups: [8, 4, 2, 1].find((n) => base % n === 0),
      attention_head_dim: [16, 8, 4, 2, 1].find((n) => base % n === 0),
      num_class_embeds: labels === null ? null : labels + 1,
    },
  });
}

/** Three levels, fewer where the sides cannot be halved or would fall below 4 pixels. */
function levelsFor(height: number, width: number): number {
  let levels = 1;
  while (levels < 3 && [height, width].every((n) => n % 2 ** levels === 0 && n / 2 ** levels >= 4)) levels++;
  return levels;
}
