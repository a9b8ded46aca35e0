// One golden run of a U-Net whose parameters come from anywhere.
import { floatsOf, type StoredTensor } from "../../src/data/safetensors.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import type { Params } from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import type { UNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { largestDifference, type TensorNote } from "./folders.ts";

export interface RunCase {
  readonly id: string;
  readonly sample: string;
  readonly encoder_hidden_states: string;
  readonly text_embeds?: string;
  readonly time_ids?: string;
  readonly timesteps: readonly number[];
  readonly output: string;
}

/** The largest difference to the golden output over its rms. */
export async function runError(
  runtime: Runtime,
  config: UNet2DConditionConfig,
  params: Params,
  one: RunCase,
  tensors: ReadonlyMap<string, StoredTensor>,
  notes: Readonly<Record<string, TensorNote>>,
): Promise<number> {
  const feeds: Record<string, Float32Array> = { tau: Float32Array.from(one.timesteps) };
  const given = (key: "sample" | "encoder_hidden_states" | "text_embeds" | "time_ids"): Tensor | undefined => {
    const name = one[key];
    if (name === undefined) return undefined;
    feeds[key] = floatsOf(tensors, name);
    return input(key, tensors.get(name)!.shape);
  };
  const x = given("sample")!;
  const y = unet2dCondition(config, params, x, input("tau", [x.shape[0]]), {
    context: given("encoder_hidden_states")!,
    textEmbeds: given("text_embeds"),
    timeIds: given("time_ids"),
  });
  const program = await runtime.compile({ y });
  try {
    const got = (await program.run(feeds)).y.data as Float32Array;
    return largestDifference(got, floatsOf(tensors, one.output)) / notes[one.output].rms;
  } finally {
    await program.dispose();
  }
}
