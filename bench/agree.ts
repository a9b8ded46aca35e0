// Whether both sides compute the same, before anything is timed.

import type { Precision } from "../src/graph/index.ts";
import type { Runtime } from "../src/runtime/index.ts";
import type { Case, Phase } from "./cases.ts";
import { distance } from "./distance.ts";
import { compare } from "./exchange.ts";
import { halfLossScale, learningRate, type Prepared, prepare } from "./ours.ts";
import type { Torch } from "./torch.ts";

export interface Agreement {
  readonly c: Case;
  readonly phase: Phase;
  readonly theta: Float32Array;
  /** The file in which PyTorch puts its results. */
  readonly out: string;
  /** Both compute in float16, each with roundings of its own. */
  readonly half: boolean;
}

/** Runs both once; throws where they do not compute the same. Returns the largest difference, moved weights aside. */
export async function agreement(
  ours: Prepared,
  other: Torch | null,
  { c, phase, theta, out, half }: Agreement,
): Promise<number | null> {
  await ours.run();
  if (!other) return null;
  await other.ask({ do: "prepare", phase, out, lr: learningRate, lossScale: half ? halfLossScale : 1 });
  const differences = compare(await ours.results(), out, theta).map((d) => (half ? { ...d, allowed: 0.1 } : d));
  // AdamW makes a whole step of a gradient that is rounding: float16 has too many of those to compare what moved.
  for (const { what, relative, allowed } of half ? differences.slice(0, 2) : differences)
    if (!(relative <= allowed))
      throw new Error(
        `${c.name}, ${phase}: the ${what} differs from PyTorch's by ${relative.toExponential(1)} (allowed ${allowed}): nothing to time.`,
      );
  return Math.max(...differences.slice(0, 2).map((d) => d.relative));
}

export const curveSteps = 5;

/** How far a device's losses and gradient norms over a few steps are from the CPU's in float32, relative to their norm. */
export async function curveDistance(
  cpu: Runtime,
  device: Runtime,
  { c, theta, precision }: { readonly c: Case; readonly theta: Float32Array; readonly precision: Precision },
): Promise<number> {
  const curve = async (on: Runtime, at: Precision) => {
    const prepared = await prepare(on, c, "step", theta, { precision: at });
    const values: number[] = [];
    for (let i = 0; i < curveSteps; i++) {
      await prepared.run();
      values.push(...(await prepared.results(2)).map(([x]) => x));
    }
    await prepared.dispose();
    return Float32Array.from(values);
  };
  const expected = await curve(cpu, "float32");
  return distance(await curve(device, precision), expected);
}
