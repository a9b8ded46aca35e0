// The safety checker that came with Stable Diffusion 1: what a picture shows, by CLIP, against a list of concepts that only
// exists as embeddings.
import { input } from "../graph/index.ts";
import { CONCEPTS, SPECIAL_CONCEPTS, safetyChecker, unsafe } from "../nn/clipVision.ts";
import { clipPixels } from "./clipPixels.ts";
import type { SafetyPart } from "./pipelineParts.ts";
import type { Sessions } from "./sessions.ts";
import type { Image } from "./tiles.ts";

/** Of pictures [B, 3, H, W] in about -1 to 1: whether each is called unsafe. */
export async function unsafePictures(sessions: Sessions, part: SafetyPart, { shape, data }: Image): Promise<boolean[]> {
  const { config, params, preprocessing } = part;
  const [batch, channels, height, width] = shape;
  const side = config.image_size;
  const program = await sessions.get(`safety.${side}`, () => {
    const { concepts, special } = safetyChecker(config, params, input("x", [1, config.num_channels, side, side]));
    return { concepts, special };
  });
  const size = channels * height * width;
  const found: boolean[] = [];
  for (let b = 0; b < batch; b++) {
    // As it is saved: 8 bits.
    const bytes = data
      .subarray(b * size, (b + 1) * size)
      .map((v) => Math.round(255 * Math.min(1, Math.max(0, v / 2 + 0.5))));
    const pixels = clipPixels(preprocessing, { shape: [1, channels, height, width], data: bytes });
    const { concepts, special } = await program.run({ x: pixels.data });
    found.push(unsafe(scores(concepts.data, CONCEPTS), scores(special.data, SPECIAL_CONCEPTS)));
  }
  return found;
}

function scores(data: ArrayLike<number | bigint>, count: number): number[] {
  const all = Array.from({ length: count }, (_, i) => Number(data[i]));
  // NaN compares with nothing, and would pass every threshold.
  if (all.some(Number.isNaN)) throw new Error("The safety checker's scores are not numbers; its weights are damaged.");
  return all;
}

/** The pictures with those that are unsafe in black. */
export function blackedOut({ shape, data }: Image, which: readonly boolean[]): Image {
  const size = data.length / shape[0];
  const out = data.slice();
  which.forEach((hide, b) => {
    if (hide) out.fill(-1, b * size, (b + 1) * size);
  });
  return { shape, data: out };
}
