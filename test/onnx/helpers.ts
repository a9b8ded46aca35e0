// Running imported models, and their gradients.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import * as ort from "onnxruntime-node";
import { grad, input, mean, square, type Tensor } from "../../src/graph/index.ts";
import type { OnnxModel } from "../../src/onnx/index.ts";
import type { Feed, Feeds } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Operand, Single } from "./model.ts";

export const runtime = nodeRuntime({ threads: 1 });

export const fixture = (name: string): Uint8Array =>
  readFileSync(resolve(import.meta.dirname, "../fixtures/onnx", name));

/** Compiles, runs once and disposes. */
export async function evaluate<K extends string>(
  outputs: Readonly<Record<K, Tensor>>,
  feeds: Feeds,
): Promise<Record<K, Float32Array>> {
  const program = await runtime.compile(outputs);
  const taken = new Set(program.inputs.map(({ source }) => (source.kind === "input" ? source.name : "")));
  const results = await program.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => taken.has(name))));
  await program.dispose();
  return Object.fromEntries(
    Object.entries<{ data: unknown }>(results).map(([key, { data }]) => [
      key,
      Float32Array.from(data as Float32Array, Number),
    ]),
  ) as Record<K, Float32Array>;
}

/** The output of an imported model, and the gradient of its mean square in each parameter, by the parameter's name. */
export async function outputAndGradients(
  model: OnnxModel,
  inputs: Readonly<Record<string, Tensor>>,
  feeds: Feeds,
): Promise<{ output: Float32Array; gradients: Map<string, Float32Array> }> {
  const weights = new Map(model.parameters.map(({ name, shape }) => [name, input(`weight:${name}`, shape)]));
  const output = model.apply((name) => weights.get(name)!, inputs)[model.outputs[0].name];
  const names = [...weights.keys()];
  const derivatives = grad(mean(square(output)), [...weights.values()]);
  const values = Object.fromEntries(model.parameters.map(({ name, data }) => [`weight:${name}`, data]));
  const results = await evaluate(
    { output, ...Object.fromEntries(names.map((name, i) => [`gradient:${name}`, derivatives[i]])) },
    { ...feeds, ...values },
  );
  return {
    output: results.output,
    gradients: new Map(names.map((name) => [name, results[`gradient:${name}` as "output"]])),
  };
}

/** The largest difference over the largest size of b, or over `floor` if that is larger. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>, floor = 0): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}.`);
  let [worst, size] = [0, floor];
  for (let i = 0; i < a.length; i++) {
    worst = Math.max(worst, Math.abs(a[i] - b[i]));
    size = Math.max(size, Math.abs(b[i]));
  }
  return Number.isNaN(worst) ? Number.POSITIVE_INFINITY : worst / (size || 1);
}

/** What ONNX Runtime computes from the file itself, in the order of the file's outputs. */
export async function ortOutputs({ bytes, fed }: Single): Promise<{ shape: readonly number[]; data: Float32Array }[]> {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    const feeds = Object.fromEntries(
      [...fed].map(([name, { data, shape }]) => {
        if (data instanceof Float32Array) return [name, new ort.Tensor("float32", data, shape)];
        if (data instanceof BigInt64Array) return [name, new ort.Tensor("int64", data, shape)];
        return [name, new ort.Tensor("bool", data, shape)];
      }),
    );
    const results = await session.run(feeds);
    return session.outputNames.map((name) => ({
      shape: results[name].dims,
      data: Float32Array.from(results[name].data as Float32Array, Number),
    }));
  } finally {
    await session.release();
  }
}

const dtype = ({ data }: Operand) =>
  data instanceof Float32Array ? "float32" : data instanceof BigInt64Array ? "int64" : "bool";

/** The fed operands of a node as inputs, and their values. */
export function fed(model: Single): { inputs: Record<string, Tensor>; feeds: Record<string, Feed> } {
  return {
    inputs: Object.fromEntries([...model.fed].map(([name, x]) => [name, input(name, x.shape, dtype(x))])),
    feeds: Object.fromEntries([...model.fed].map(([name, { data }]) => [name, data])),
  };
}
