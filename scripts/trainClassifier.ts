// Trains the small classifier whose features measure MNIST samples, and writes assets/mnist-classifier/:
// model.safetensors, card.json, and reference.safetensors (mean and covariance of the training set's features).
// npx tsx scripts/trainClassifier.ts [folder of the full MNIST files] [out]

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { batches, type Dataset } from "../src/data/dataset.ts";
import { openIdx } from "../src/data/mnist.ts";
import { writeSafetensors } from "../src/data/safetensors.ts";
import { constant, crossEntropy, grad, input } from "../src/graph/index.ts";
import { sha256 } from "../src/hash.ts";
import { frechet } from "../src/metrics/frechet.ts";
import { rows } from "../src/metrics/metric.ts";
import {
  type ClassifierCard,
  compileClassifier,
  MNIST_FEATURES,
  type MnistClassifier,
} from "../src/metrics/mnistClassifier.ts";
import { addMoments, gaussianOf, noMoments } from "../src/metrics/moments.ts";
import { writeReference } from "../src/metrics/reference.ts";
import { classifier, readClassifierConfig } from "../src/nn/classifier.ts";
import { initialize } from "../src/nn/initialize.ts";
import { collectParams, countParams, fromFlat, unflatten } from "../src/nn/params.ts";
import { adamw, adamwDefaults, adamwScalars } from "../src/optim/adamw.ts";
import { rateAt } from "../src/optim/schedule.ts";
import { fold, key } from "../src/random.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const [from = "../shared/data/mnist", out = "assets/mnist-classifier"] = process.argv.slice(2);
const seed = 0;
const epochs = 4;
const batch = 64;
const schedule = { kind: "cosine", peak: 3e-3, warmup: 100, final: 0.01 } as const;

const config = readClassifierConfig({ widths: [16, 32, 32, 32] });
const spec = collectParams((p) => classifier(config, p, input("x", [1, config.channels, config.size, config.size])));
const runtime = nodeRuntime({ threads: 1 });
const [train, test] = await Promise.all([open("train"), open("test")]);

const params = unflatten(spec, await trained(train));
const model = writeSafetensors(params);
const hash = await sha256(model);
const network = await compileClassifier(runtime, config, params, hash);
const accuracy = await accuracyOn(test, network);

const moments = async (data: Dataset) => {
  let state = noMoments(config.features);
  for (const x of pieces(data, 1000))
    state = addMoments(state, rows(await network.apply(x, x.length / (config.size * config.size)), config.features));
  return state;
};
const reference = gaussianOf(await moments(train));
const metric = frechet({ reference });
const distance = metric.value(await moments(test));
await network.dispose();

const card: ClassifierCard = {
  format: 1,
  name: MNIST_FEATURES,
  config,
  parameters: countParams(spec),
  sha256: hash,
  training: { data: "MNIST, training set", n: train.size, epochs, batch, seed, peakRate: schedule.peak },
  test: { n: test.size, accuracy },
  frechet: { n: distance.n, value: distance.value, floor: distance.floor ?? 0 },
};
await mkdir(out, { recursive: true });
await writeFile(join(out, "model.safetensors"), model);
await writeFile(
  join(out, "reference.safetensors"),
  writeReference(reference, { features: MNIST_FEATURES, sha256: hash, data: "MNIST, training set" }),
);
await writeFile(join(out, "card.json"), `${JSON.stringify(card, null, 2)}\n`);
console.log(JSON.stringify(card, null, 2));

async function open(split: "train" | "test"): Promise<Dataset> {
  const names = ["train", "t10k"].flatMap((s) => [`${s}-images-idx3-ubyte.gz`, `${s}-labels-idx1-ubyte.gz`]);
  const source = { name: from, list: async () => names, read: (name: string) => readFile(join(from, name)) };
  return openIdx(source, { split });
}

async function trained(data: Dataset): Promise<Float32Array> {
  const total = countParams(spec);
  const state = { theta: input("theta", [total]), m: input("m", [total]), v: input("v", [total]) };
  const scalars = { rate: input("rate", []), decay: input("decay", []), floor: input("floor", []), scale: constant(1) };
  const labels = input("labels", [batch], "int64");
  const { logits } = classifier(config, fromFlat(spec, state.theta), input("x", [batch, ...data.shape]));
  const loss = crossEntropy(logits, labels);
  const [g] = grad(loss, [state.theta]);
  const next = adamw(state, g, scalars, adamwDefaults);
  const program = await runtime.compile({ loss, theta1: next.theta, m1: next.m, v1: next.v });
  const stream = batches(data, fold(key(seed), "order"), batch);
  const steps = Math.floor((epochs * data.size) / batch);
  let theta = initialize(spec, fold(key(seed), "start"));
  let [m, v] = [new Float32Array(total), new Float32Array(total)];
  let smooth = Math.log(config.classes);
  const begin = performance.now();
  for (let k = 1; k <= steps; k++) {
    const { rate, decay, floor } = adamwScalars(k, rateAt(schedule, k, steps), adamwDefaults);
    const now = { rate: Float32Array.of(rate), decay: Float32Array.of(decay), floor: Float32Array.of(floor) };
    const { x, labels } = stream.batchAt(k - 1);
    const done = await program.run({ theta, m, v, x, labels, ...now });
    [theta, m, v] = [done.theta1, done.m1, done.v1].map((x) => new Float32Array(x.data as Float32Array));
    smooth += 0.02 * ((done.loss.data as Float32Array)[0] - smooth);
    if (k % 250 === 0 || k === steps) {
      const seconds = (performance.now() - begin) / 1000;
      console.log(`step ${k} of ${steps}, loss ${smooth.toFixed(4)}, ${seconds.toFixed(0)} s`);
    }
  }
  await program.dispose();
  return theta;
}

async function accuracyOn(data: Dataset, { logits }: MnistClassifier): Promise<number> {
  const { x, labels } = data.batch(Array.from({ length: data.size }, (_, i) => i));
  const scores = await logits(x, data.size);
  let right = 0;
  labels.forEach((label, i) => {
    const row = scores.subarray(i * config.classes, (i + 1) * config.classes);
    if (row.indexOf(Math.max(...row)) === Number(label)) right++;
  });
  return right / data.size;
}

/** The images in order, so many at a time. */
function* pieces(data: Dataset, count: number): Generator<Float32Array> {
  for (let at = 0; at < data.size; at += count)
    yield data.batch(Array.from({ length: Math.min(count, data.size - at) }, (_, i) => at + i)).x;
}
