// Every golden operator case of nn/: value, vector-Jacobian product and Jacobian-vector product, against PyTorch.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { constant, input, jvp, type Tensor, vjp } from "../../src/graph/index.ts";
import type { Feed } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { floats, goldenRoots, jsonFiles, longs, type RawTensor, readGoldenTensors } from "../support/golden.ts";
import { type GoldenAttrs, OPERATORS } from "../support/operators.ts";

interface GoldenCase {
  id: string;
  op: string;
  attrs: GoldenAttrs;
  inputs: { name: string; value: string; tangent?: string; grad?: string; grad_noise?: number; grad_max?: number }[];
  outputs: { value: string; cotangent: string; tangent: string; value_noise: number; tangent_noise: number }[];
}

const runtime = nodeRuntime({ threads: 1 });
let ran = 0;

for (const root of goldenRoots())
  for (const file of jsonFiles(join(root, "nn"))) {
    const golden = JSON.parse(readFileSync(file, "utf8")) as { kind: string; file: string; cases: GoldenCase[] };
    if (golden.kind !== "operators") continue;
    const tensors = readGoldenTensors(join(dirname(file), golden.file));
    describe(`nn ${file}`, () => {
      for (const c of golden.cases)
        it(c.id, async () => {
          await check(c, (name) => {
            const t = tensors.get(name);
            if (!t) throw new Error(`${file}: no tensor "${name}".`);
            return t;
          });
          ran++;
        });
    });
  }

afterAll(async () => {
  console.log(`nn: ${ran} operator cases agree in value, vjp and jvp`);
  expect(ran).toBeGreaterThan(0);
  expect(runtime.open()).toBe(0);
});

const dataOf = (t: RawTensor): Feed => (t.dtype === "I64" ? longs(t) : t.dtype === "U8" ? t.bytes : floats(t));

async function check(c: GoldenCase, get: (name: string) => RawTensor): Promise<void> {
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
  const outputs = Array.isArray(result) ? (result as Tensor[]) : [result as Tensor];
  const smooth = c.inputs.filter((i) => i.grad !== undefined);
  const wrt = smooth.map((i) => x[i.name]);
  const held = (name: string): Tensor => constant(floats(get(name)), get(name).shape);
  const grads = vjp(
    outputs,
    c.outputs.map((o) => held(o.cotangent)),
    wrt,
  );
  const tangents = jvp(
    outputs,
    wrt,
    smooth.map((i) => held(i.tangent!)),
  );
  const program = await runtime.compile(
    Object.fromEntries([
      ...outputs.map((y, i) => [`value${i}`, y]),
      ...tangents.map((y, i) => [`tangent${i}`, y]),
      ...grads.map((y, i) => [`grad${i}`, y]),
    ]),
  );
  try {
    const fetched = await program.run(feeds);
    const close = (name: string, golden: string, noise: number) => {
      const want = get(golden);
      expect(fetched[name].shape, `${name} shape`).toEqual(want.shape);
      expectClose(fetched[name].data as Float32Array, floats(want), noise, `${c.id} ${name}`);
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

/** The golden README's tolerance: 1e-5 · max(1, max abs) + 4 · noise. */
function expectClose(got: Float32Array, want: Float32Array, noise: number, what: string): void {
  let top = 1;
  for (const v of want) top = Math.max(top, Math.abs(v));
  const tolerance = 1e-5 * top + 4 * noise;
  want.forEach((v, i) => {
    if (!(Math.abs(got[i] - v) <= tolerance))
      throw new Error(`${what}[${i}] = ${got[i]}, expected ${v} within ${tolerance}.`);
  });
}
