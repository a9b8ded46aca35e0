// Teachers with three classes and data that fit them, made here: not trained, but none of their weights is zero.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cosine, vPrediction } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { saveModel } from "../../src/node/models.ts";
import { key } from "../../src/random.ts";
import { CARD_FORMAT, describeModel } from "../../src/run/card.ts";
import { picture } from "../data/bytes.ts";

export const CLASSES = 3;

/** One pixel for the MLP, 8 x 8 for the U-Net. */
const kinds = {
  mlp: { size: 1, channels: 3, config: { dim: 3, width: 8, depth: 2, classes: CLASSES } },
  unet2d: {
    size: 8,
    channels: 1,
    config: {
      sample_size: 8,
      in_channels: 1,
      out_channels: 1,
      block_out_channels: [4, 8],
      layers_per_block: 1,
      down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
      up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
      attention_head_dim: 4,
      norm_num_groups: 2,
      num_class_embeds: CLASSES + 1,
    },
  },
} as const;
export type TeacherKind = keyof typeof kinds;

/** Writes `<folder>/teacher` and `<folder>/data` and returns the two. */
export async function toyTeacher(kind: TeacherKind, folder: string): Promise<{ teacher: string; data: string }> {
  const { size, channels, config } = kinds[kind];
  const network = buildNetwork({ family: kind, config });
  const spec = collect(network).map((s) => ({ ...s, init: { normal: 0.2 } }));
  const timeInput = { scale: 1000, offset: 0 };
  const model = networkModel(network, cosine(), vPrediction, timeInput);
  const [teacher, data] = [join(folder, "teacher"), join(folder, "data")];
  const card = {
    format: CARD_FORMAT,
    library: "0",
    ...describeModel({ network, model, timeInput }),
    sampler: { solver: "ddim", grid: { kind: "uniform" }, steps: [4] },
    guidance: { convention: "null + g*(cond - null)", baked: 1 },
    recipe: { method: "test", options: {} },
    base: null,
    imagesSeen: 0,
    teacherNfe: 0,
    seed: 0,
  } as const;
  await mkdir(teacher, { recursive: true });
  await saveModel(
    teacher,
    { ...card, sampler: { ...card.sampler, steps: [4] } },
    spec,
    initialize(spec, key(7)),
    network,
  );
  for (let label = 0; label < CLASSES; label++) {
    await mkdir(join(data, String(label)), { recursive: true });
    for (let i = 0; i < 4; i++)
      await writeFile(join(data, String(label), `${i}.png`), picture(size, size, channels, 60 * label + 11 * i));
  }
  return { teacher, data };
}
