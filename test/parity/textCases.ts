// The text encoder cases of a golden file.
import { join } from "node:path";
import { sliceAxis, type Tensor } from "../../src/graph/index.ts";
import { type ClipTextConfig, readClipTextConfig } from "../../src/nn/clipConfig.ts";
import { clipText, poolingIndex } from "../../src/nn/clipText.ts";
import { fromConstants, type ParamMap } from "../../src/nn/params.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { compare, type GoldenParts, given, weightsIn } from "./cases.ts";
import { type GoldenFile, goldenTensors, readJson } from "./folders.ts";

export interface TextCase {
  readonly component: string;
  readonly prompts?: readonly string[];
  readonly input_ids: string;
  readonly last_hidden_state?: string;
  readonly penultimate?: string;
  readonly hidden_states_first_prompt?: readonly string[];
  readonly pooler_output?: string;
  readonly text_embeds?: string;
}

export interface TextEncoder {
  readonly config: ClipTextConfig;
  readonly weights: ParamMap;
}

export const textEncoderIn = (folder: string, component: string): TextEncoder => ({
  config: readClipTextConfig(readJson(folder, component, "config.json")),
  weights: weightsIn(join(folder, component)),
});

/** The golden ids, one list per sequence. */
export function idsOf(one: GoldenFile<GoldenParts>, c: TextCase): number[][] {
  const { shape, data } = goldenTensors(one).get(c.input_ids)!;
  const all = Array.from(data as BigInt64Array, Number);
  return Array.from({ length: shape[0] }, (_, b) => all.slice(b * shape[1], (b + 1) * shape[1]));
}

export async function textErrors(
  one: GoldenFile<GoldenParts>,
  { config, weights }: TextEncoder,
  c: TextCase,
  runtime: Runtime,
): Promise<Map<string, number>> {
  const from = given(goldenTensors(one));
  const ids = from.take(c.input_ids);
  const at = from.feed("pooledAt", [ids.shape[0]], poolingIndex(config, idsOf(one, c)));
  const { hidden, last, pooled, projected } = clipText(config, fromConstants(weights), ids, at);
  const outputs: Record<string, Tensor> = {};
  const want = (name: string | undefined, x: Tensor | undefined) => {
    if (name === undefined) return;
    if (!x) throw new Error(`${c.component} does not give ${name}.`);
    outputs[name] = x;
  };
  want(c.last_hidden_state, last);
  want(c.penultimate, hidden.at(-2));
  want(c.pooler_output, pooled);
  want(c.text_embeds, projected);
  c.hidden_states_first_prompt?.forEach((name, k) => {
    want(name, hidden[k] && sliceAxis(hidden[k], 0, 0, 1));
  });
  return compare(one, outputs, from.feeds, runtime);
}
