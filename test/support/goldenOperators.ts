// The golden operator cases: value, vector-Jacobian product and Jacobian-vector product, against PyTorch.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { constant, input, jvp, type Tensor, vjp } from "../../src/graph/index.ts";
import type { Feed, Runtime } from "../../src/runtime/index.ts";
import { floats, jsonFiles, longs, type RawTensor, readGoldenTensors } from "./golden.ts";
import { type GoldenAttrs, OPERATORS } from "./operators.ts";

export interface OperatorCase {
  id: string;
  op: string;
  attrs: GoldenAttrs;
  inputs: { name: string; value: string; tangent?: string; grad?: string; grad_noise?: number; grad_max?: number }[];
  outputs: { value: string; cotangent: string; tangent: string; value_noise: number; tangent_noise: number }[];
}
type Get = (name: string) => RawTensor;

export interface OperatorFile {
  readonly file: string;
  readonly cases: readonly OperatorCase[];
  readonly get: Get;
}

/** The files of operators in a golden folder. */
export function* operatorFiles(root: string): Generator<OperatorFile> {
  for (const file of jsonFiles(join(root, "nn"))) {
    const golden = JSON.parse(readFileSync(file, "utf8")) as OperatorGolden & { kind: string };
    if (golden.kind === "operators") yield operatorFile(file, golden);
  }
}

/** What a golden file of operators holds: its cases, and the name of the file with the tensors. */
export interface OperatorGolden {
  readonly file: string;
  readonly cases: readonly OperatorCase[];
}

export function operatorFile(file: string, golden: OperatorGolden): OperatorFile {
  const tensors = readGoldenTensors(join(dirname(file), golden.file));
  const get: Get = (name) => {
    const t = tensors.get(name);
    if (!t) throw new Error(`${file}: no tensor "${name}".`);
    return t;
  };
  return { file, cases: golden.cases, get };
}

const dataOf = (t: RawTensor): Feed => (t.dtype === "I64" ? longs(t) : t.dtype === "U8" ? t.bytes : floats(t));

/** The program of a case, and its feeds. */
export function operatorProgram(c: OperatorCase, get: Get) {
  const apply = OPERATORS[c.op];
  if (!apply) throw new Error(`No operator "${c.op}" in test/support/operators.ts.`);
  const feeds: Record<string, Feed> = {};
  const x: Record<string, Tensor> = {};
  for (const { name, value } of c.inputs) {
    const t = get(value);
    feeds[name] = dataOf(t);
    x[name] = input(name, t.shape, t.dtype === "I64" ? "int64" : t.dtype === "U8" ? "bool" : "float32");
  }
  const result = apply(x, c.attrs);
  const values = Array.isArray(result) ? (result as Tensor[]) : [result as Tensor];
  const smooth = c.inputs.filter((i) => i.grad !== undefined);
  const wrt = smooth.map((i) => x[i.name]);
  const held = (name: string): Tensor => constant(floats(get(name)), get(name).shape);
  const cotangents = c.outputs.map((o) => held(o.cotangent));
  const tangents = jvp(
    values,
    wrt,
    smooth.map((i) => held(i.tangent!)),
  );
  const outputs: Record<string, Tensor> = Object.fromEntries([
    ...values.map((y, i) => [`value${i}`, y]),
    ...tangents.map((y, i) => [`tangent${i}`, y]),
    ...vjp(values, cotangents, wrt).map((y, i) => [`grad${i}`, y]),
  ]);
  return { outputs, feeds, smooth };
}

/** Runs a case. `slack` multiplies the golden README's tolerance: 1e-5 · max(1, max abs) + 4 · noise. */
export async function checkOperator(runtime: Runtime, c: OperatorCase, get: Get, slack = 1): Promise<void> {
  const { outputs, feeds, smooth } = operatorProgram(c, get);
  const program = await runtime.compile(outputs);
  try {
    const fetched = await program.run(feeds);
    const close = (name: string, golden: string, noise: number) => {
      const want = get(golden);
      expect(fetched[name].shape, `${name} shape`).toEqual(want.shape);
      expectClose(fetched[name].data as Float32Array, floats(want), noise, slack, `${c.id} ${name}`);
    };
    c.outputs.forEach((o, i) => {
      close(`value${i}`, o.value, o.value_noise);
      close(`tangent${i}`, o.tangent, o.tangent_noise);
    });
    smooth.forEach((s, i) => {
      close(`grad${i}`, s.grad!, s.grad_noise ?? 0);
    });
  } finally {
    await program.dispose();
  }
}

function expectClose(got: Float32Array, want: Float32Array, noise: number, slack: number, what: string): void {
  let top = 1;
  for (const v of want) top = Math.max(top, Math.abs(v));
  const tolerance = slack * (1e-5 * top + 4 * noise);
  want.forEach((v, i) => {
    if (!(Math.abs(got[i] - v) <= tolerance))
      throw new Error(`${what}[${i}] = ${got[i]}, expected ${v} within ${tolerance}.`);
  });
}
