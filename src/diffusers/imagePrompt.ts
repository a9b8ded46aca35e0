// IP-Adapters in a pipeline: a picture as tokens for the U-Net, and the U-Net with the adapter's keys and values.
import { concat, input, zeros } from "../graph/index.ts";
import type { ClipVisionConfig } from "../nn/clipConfig.ts";
import { clipImageEmbedding } from "../nn/clipVision.ts";
import { type IpAdapter, imageTokens } from "../nn/ipAdapter.ts";
import { fromConstants, type Params } from "../nn/params.ts";
import type { Runtime } from "../runtime/index.ts";
import type { Part } from "./pipelineParts.ts";
import type { Values } from "./textConditions.ts";
import type { Image } from "./tiles.ts";

export interface PictureTokens {
  /** [1, N, D] of the picture, and of none: those of an embedding of zeros, or of a black picture's patches. */
  readonly tokens: Values;
  readonly without: Values;
}

/** `pixels` [1, 3, S, S] as `clipPixels` gives them. Throws RangeError where encoder and adapter do not fit each other. */
export async function pictureTokens(
  runtime: Runtime,
  encoder: Part<ClipVisionConfig>,
  adapter: IpAdapter,
  pixels: Image,
): Promise<PictureTokens> {
  const { variant } = adapter.projection;
  const x = input("x", pixels.shape);
  const vision = (image: typeof x) => clipImageEmbedding(encoder.config, encoder.params, image);
  const { embeds, hidden } = vision(x);
  // diffusers' unconditional half: the embedding is zero; of the patches' states, those of pixels that are.
  const both =
    variant === "base"
      ? concat([embeds, zeros(embeds.shape)], 0)
      : concat([hidden[hidden.length - 2], vision(zeros(pixels.shape)).hidden.at(-2)!], 0);
  const program = await runtime.compile({
    tokens: imageTokens(fromConstants(adapter.params), "image_proj", both, adapter.projection),
  });
  try {
    const { tokens } = await program.run({ x: pixels.data });
    const data = tokens.data as Float32Array;
    const shape = [1, ...tokens.shape.slice(1)];
    return {
      tokens: { shape, data: data.slice(0, data.length / 2) },
      without: { shape, data: data.slice(data.length / 2) },
    };
  } finally {
    await program.dispose();
  }
}

/** The U-Net's parameters together with the adapter's. */
export function withImagePrompt(params: Params, adapter: IpAdapter): Params {
  const own = fromConstants(adapter.unet);
  return Object.assign<Params, Pick<Params, "tap" | "remat">>(
    (name, shape, init) => (adapter.unet.has(name) ? own(name, shape, init) : params(name, shape, init)),
    { tap: params.tap, remat: params.remat },
  );
}
