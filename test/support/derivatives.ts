// A function's value with its derivatives of first and second order, to compare two ways of computing it.

import { expect } from "vitest";
import { constant, grad, jvp, mul, type Outputs, sizeOf, square, sum, type Tensor } from "../../src/graph/index.ts";
import type { Runtime } from "../../src/runtime/index.ts";

/** The numbers of an input, or of what else has a name. */
type Values = (name: string, count: number) => Float32Array;

/** Value, gradient, tangent, gradient of the tangent, tangent and gradient of the gradient. */
export function derivatives(y: Tensor, wrt: readonly Tensor[], values: Values): Record<string, Tensor> {
  const weights = constant(values("weights", sizeOf(y.shape)), y.shape);
  const direction = wrt.map((x, i) => constant(values(`direction ${i}`, sizeOf(x.shape)), x.shape));
  const gradient = grad(sum(mul(y, weights)), wrt);
  const [tangent] = jvp([y], wrt, direction);
  const named = (what: string, list: readonly Tensor[]) => list.map((x, i) => [`${what} ${i}`, x] as const);
  return Object.fromEntries([
    ["value", y],
    ["tangent", tangent],
    ...named("gradient", gradient),
    ...named("gradient of tangent", grad(sum(mul(tangent, weights)), wrt)),
    ...named("tangent of gradient", jvp(gradient, wrt, direction)),
    ...named("gradient of gradient", grad(sum(square(gradient[0])), wrt)),
  ]);
}

/** Runs a program once on inputs of these values. */
export async function evaluate(
  runtime: Runtime,
  outputs: Outputs,
  values: Values,
): Promise<Record<string, Float32Array>> {
  const program = await runtime.compile(outputs);
  const feeds = program.inputs.flatMap(({ source, shape }) =>
    source.kind === "input" ? [[source.name, values(source.name, sizeOf(shape))] as const] : [],
  );
  const fetched = await program.run(Object.fromEntries(feeds));
  await program.dispose();
  return Object.fromEntries(Object.entries(fetched).map(([name, { data }]) => [name, data as Float32Array]));
}

/** Every number of `want` to `tolerance` times the largest of its tensor, or times 1. */
export function expectClose(
  have: Readonly<Record<string, Float32Array>>,
  want: Readonly<Record<string, Float32Array>>,
  tolerance: number,
): void {
  expect(Object.keys(have)).toEqual(Object.keys(want));
  for (const [name, data] of Object.entries(want)) {
    const scale = Math.max(1, ...data.map(Math.abs));
    data.forEach((value, i) => {
      const off = Math.abs(have[name][i] - value) / scale;
      expect(off, `${name}[${i}]: ${have[name][i]}, ${value}`).toBeLessThan(tolerance);
    });
  }
}
