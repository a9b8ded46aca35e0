// The built-in features: the 64 numbers before the last layer of a small classifier of MNIST digits.

import * as z from "zod";
import { show } from "../core/show.ts";
import { readSafetensors } from "../data/safetensors.ts";
import { input } from "../graph/index.ts";
import { sha256 } from "../hash.ts";
import { type ClassifierConfig, classifier, readClassifierConfig } from "../nn/classifier.ts";
import { firstIssue } from "../nn/config.ts";
import { fromConstants, type ParamMap } from "../nn/params.ts";
import { toParams } from "../nn/weights.ts";
import type { Runtime } from "../runtime/index.ts";
import { type Features, inBatches } from "./features.ts";

export const MNIST_FEATURES = "mnist-classifier-64";

/** card.json beside the weights: what they are and how good they are. */
const cardSchema = z.strictObject({
  format: z.literal(1),
  name: z.literal(MNIST_FEATURES),
  /** Of the classifier; read by `readClassifierConfig`. */
  config: z.unknown(),
  parameters: z.int().positive(),
  /** Of model.safetensors. */
  sha256: z.string(),
  training: z.strictObject({
    data: z.string(),
    n: z.int().positive(),
    epochs: z.number().positive(),
    batch: z.int().positive(),
    seed: z.int().nonnegative(),
    peakRate: z.number().positive(),
  }),
  test: z.strictObject({ n: z.int().positive(), accuracy: z.number().min(0).max(1) }),
  /** The test set's Fréchet distance to reference.safetensors, and what chance alone would give. */
  frechet: z.strictObject({ n: z.int().positive(), value: z.number(), floor: z.number() }),
});
export type ClassifierCard = z.output<typeof cardSchema>;

/** Throws an Error that says which key is wrong. */
export function readClassifierCard(json: unknown): ClassifierCard {
  const parsed = cardSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { key, value, why } = firstIssue(parsed.error, json);
  throw new Error(`The classifier's card is not readable: "${key}": ${show(value)} (${why}).`);
}

export interface MnistClassifier extends Features {
  /** x [n, 1, 28, 28] in [-1, 1] to logits [n, 10]. */
  logits(x: Float32Array, n: number): Promise<Float32Array>;
}

/** The files of assets/mnist-classifier, read by the caller. Throws an Error if the weights are not the card's. */
export async function mnistClassifier(
  runtime: Runtime,
  files: { readonly model: Uint8Array; readonly card: unknown },
): Promise<MnistClassifier> {
  const card = readClassifierCard(files.card);
  const hash = await sha256(files.model);
  if (hash !== card.sha256)
    throw new Error(`The classifier's weights have the SHA-256 ${hash}, expected ${card.sha256} from its card.`);
  const params = toParams(readSafetensors(files.model, MNIST_FEATURES).tensors);
  return compileClassifier(runtime, readClassifierConfig(card.config), params, hash);
}

/** The same from weights in memory. The program stays open until dispose. */
export async function compileClassifier(
  runtime: Runtime,
  config: ClassifierConfig,
  params: ParamMap,
  hash: string,
): Promise<MnistClassifier> {
  const batch = 100;
  const images = [config.channels, config.size, config.size] as const;
  const program = await runtime.compile(classifier(config, fromConstants(params), input("x", [batch, ...images])));
  const pixels = images[0] * images[1] * images[2];
  const run = (output: "features" | "logits") => async (x: Float32Array) =>
    (await program.run({ x }))[output].data as Float32Array;
  return {
    name: MNIST_FEATURES,
    dim: config.features,
    inputShape: images,
    protocol: {
      network: MNIST_FEATURES,
      sha256: hash,
      images,
      input: images,
      resize: "none",
      range: "-1..1",
      rounded: false,
    },
    apply: (x, n) => inBatches(x, n, pixels, batch, config.features, run("features")),
    logits: (x, n) => inBatches(x, n, pixels, batch, config.classes, run("logits")),
    dispose: () => program.dispose(),
  };
}
