// Pictures to latents of a pipeline and back, in one piece, in slices or in tiles.
import { add, div, input, type Tensor } from "../graph/index.ts";
import { decodeLatents, encodeMoments, LOGVAR } from "../nn/autoencoderKl.ts";
import { decodeTiny, encodeTiny } from "../nn/autoencoderTiny.ts";
import type { VaePart } from "./pipelineParts.ts";
import type { Sessions } from "./sessions.ts";
import { type Image, sliced, type TileWork, tiled, tileSizes } from "./tiles.ts";

export interface LatentOptions {
  /** One picture at a time. */
  readonly slicing?: boolean;
  /** Tiles of this many pixels with this overlap; true: diffusers' own, sample_size and 0.25. Not for AutoencoderTiny. */
  readonly tiling?: boolean | { readonly size: number; readonly overlap: number };
  /** Checked before every piece. */
  readonly signal?: AbortSignal;
}

/** latents in the pipeline's scaled space [B, C, h, w]; pictures [B, 3, H, W], about -1 to 1, not clamped. */
export function toPictures(
  sessions: Sessions,
  vae: VaePart,
  latents: Image,
  options: LatentOptions = {},
): Promise<Image> {
  const network = (x: Tensor): Tensor => {
    if (vae.kind === "tiny") return decodeTiny(vae.config, vae.params, x);
    const { scaling_factor, shift_factor } = vae.config;
    const own = div(x, scaling_factor);
    return decodeLatents(vae.config, vae.params, shift_factor === null ? own : add(own, shift_factor));
  };
  return through(latents, working(sessions, "vae.decode", network, options.signal), vae, options, "decode");
}

/**
 * pictures [B, 3, H, W] in -1 to 1; latents [B copies, C, h, w] in the scaled space, each drawn from its picture's posterior
 * with `noise` (standard normal, one number per latent), or the mean without.
 */
export async function toLatents(
  sessions: Sessions,
  vae: VaePart,
  pictures: Image,
  noise: ((count: number) => Float32Array) | null,
  options: LatentOptions = {},
  copies = 1,
): Promise<Image> {
  const network = (x: Tensor): Tensor => {
    if (vae.kind === "tiny") return encodeTiny(vae.config, vae.params, x);
    return encodeMoments(vae.config, vae.params, x);
  };
  const found = await through(
    pictures,
    working(sessions, "vae.encode", network, options.signal),
    vae,
    options,
    "encode",
  );
  const [batch, both, height, width] = found.shape;
  const channels = vae.kind === "tiny" ? both : both / 2;
  const size = channels * height * width;
  const data = new Float32Array(batch * copies * size);
  const shape = [batch * copies, channels, height, width];
  if (vae.kind === "tiny") {
    for (let n = 0; n < batch * copies; n++)
      data.set(found.data.subarray(Math.floor(n / copies) * size, (Math.floor(n / copies) + 1) * size), n * size);
    return { shape, data };
  }
  const draws = noise?.(data.length);
  const { scaling_factor, shift_factor } = vae.config;
  for (let n = 0; n < batch * copies; n++)
    for (let i = 0, b = Math.floor(n / copies); i < size; i++) {
      const [mean, logvar] = [found.data[2 * b * size + i], found.data[(2 * b + 1) * size + i]];
      const deviation = Math.exp(Math.min(LOGVAR[1], Math.max(LOGVAR[0], logvar)) / 2);
      const drawn = draws ? mean + deviation * draws[n * size + i] : mean;
      data[n * size + i] = (drawn - (shift_factor ?? 0)) * scaling_factor;
    }
  return { shape, data };
}

const working =
  (sessions: Sessions, key: string, network: (x: Tensor) => Tensor, signal?: AbortSignal): TileWork =>
  async ({ shape, data }) => {
    signal?.throwIfAborted();
    const program = await sessions.get(`${key}.${shape.join("x")}`, () => ({ y: network(input("x", shape)) }));
    const { y } = await program.run({ x: data });
    return { shape: y.shape, data: y.data as Float32Array };
  };

function through(
  x: Image,
  work: TileWork,
  vae: VaePart,
  { slicing = false, tiling = false }: LatentOptions,
  direction: "encode" | "decode",
): Promise<Image> {
  if (tiling !== false && vae.kind === "tiny")
    throw new RangeError("AutoencoderTiny is not tiled here; leave tiling out, it needs little memory.");
  let whole = work;
  if (tiling !== false && vae.kind === "kl") {
    const { sample_size, block_out_channels } = vae.config;
    const side = typeof sample_size === "number" ? sample_size : (sample_size?.[0] ?? 512);
    const { size, overlap } = tiling === true ? { size: side, overlap: 0.25 } : tiling;
    whole = (image) => tiled(image, tileSizes(size, block_out_channels.length, overlap)[direction], work);
  }
  return slicing ? sliced(x, whole) : whole(x);
}
