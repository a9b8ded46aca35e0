// The autoencoder cases of a golden file.
import { div, sliceAxis, type Tensor } from "../../src/graph/index.ts";
import { decodeLatents, encodeMoments, posterior } from "../../src/nn/autoencoderKl.ts";
import { type AutoencoderKlConfig, readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { fromConstants, type ParamMap, tapped } from "../../src/nn/params.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { compare, type GoldenParts, given, weightsIn } from "./cases.ts";
import { type GoldenFile, goldenTensors, readJson } from "./folders.ts";

export interface VaeCases {
  readonly scaling_factor: number;
  readonly encode?: { readonly image: string; readonly mean: string; readonly logvar: string };
  readonly decode?: { readonly latents: string; readonly output: string };
  readonly activations_first_entry?: Readonly<Record<string, string>>;
}

export interface Vae {
  readonly config: AutoencoderKlConfig;
  readonly weights: ParamMap;
}

export const vaeIn = (folder: string): Vae => ({
  config: readAutoencoderKlConfig(readJson(folder, "config.json")),
  weights: weightsIn(folder),
});

export async function vaeErrors(
  one: GoldenFile<GoldenParts>,
  { config, weights }: Vae,
  { encode, decode, scaling_factor, activations_first_entry: wanted = {} }: VaeCases,
  runtime: Runtime,
): Promise<Map<string, number>> {
  const from = given(goldenTensors(one));
  const outputs: Record<string, Tensor> = {};
  const params = tapped(fromConstants(weights), (name, x) => {
    if (name in wanted) outputs[wanted[name]] = sliceAxis(x, 0, 0, 1);
  });
  if (encode) {
    const { mean, logvar } = posterior(encodeMoments(config, params, from.take(encode.image)));
    Object.assign(outputs, { [encode.mean]: mean, [encode.logvar]: logvar });
  }
  if (decode) {
    if (config.scaling_factor !== scaling_factor)
      throw new Error(`The scaling factor is ${config.scaling_factor}, expected ${scaling_factor}.`);
    outputs[decode.output] = decodeLatents(config, params, div(from.take(decode.latents), scaling_factor));
  }
  const unseen = Object.keys(wanted).filter((name) => !(wanted[name] in outputs));
  if (unseen.length) throw new Error(`No activation is named ${unseen.join(", ")}.`);
  return compare(one, outputs, from.feeds, runtime);
}
