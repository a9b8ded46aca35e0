// What the parity tests of networks share: weights of a folder, one comparison with golden tensors, one tally of cases.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { floatsOf, type StoredTensor } from "../../src/data/safetensors.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import { withoutPositionIds } from "../../src/nn/clipText.ts";
import type { ParamMap } from "../../src/nn/params.ts";
import { toParams } from "../../src/nn/weights.ts";
import type { Feed, Feeds, Runtime } from "../../src/runtime/index.ts";
import {
  type GoldenFile,
  goldenTensors,
  type Kind,
  largestDifference,
  reportCases,
  type TensorNote,
  tensorsIn,
} from "./folders.ts";

/** What every golden.json may hold. */
export interface GoldenParts {
  readonly base?: string;
  readonly tensors: Readonly<Record<string, TensorNote>>;
  readonly tolerances?: Readonly<Record<string, unknown>>;
}

/** The weights of one component's folder. */
export function weightsIn(folder: string): ParamMap {
  const names = ["diffusion_pytorch_model.safetensors", "model.safetensors"];
  const name = names.find((name) => existsSync(join(folder, name)));
  if (!name) throw new Error(`${folder} holds none of ${names.join(", ")}.`);
  return toParams(withoutPositionIds(tensorsIn(join(folder, name))));
}

/** The tolerance that the golden file states, or the golden README's. */
export function toleranceOf(one: GoldenFile<GoldenParts>, key: string, fallback: number): number {
  const stated = one.golden.tolerances?.[key];
  return typeof stated === "number" ? stated : fallback;
}

/** Golden tensors as inputs of a program. */
export interface Given {
  readonly feeds: Record<string, Feed>;
  /** The golden tensor of that name as an input; int64 where it is stored so. */
  take(name: string): Tensor;
  /** A further input. */
  feed(name: string, shape: readonly number[], data: Feed): Tensor;
}

export function given(tensors: ReadonlyMap<string, StoredTensor>): Given {
  const feeds: Record<string, Feed> = {};
  const feed = (name: string, shape: readonly number[], data: Feed) => {
    feeds[name] = data;
    return input(name, shape, data instanceof BigInt64Array ? "int64" : "float32");
  };
  return {
    feeds,
    feed,
    take(name) {
      const stored = tensors.get(name);
      if (!stored) throw new Error(`There is no golden tensor "${name}".`);
      const data = stored.data instanceof BigInt64Array ? stored.data : floatsOf(tensors, name);
      return feed(name, stored.shape, data);
    },
  };
}

/** Computes outputs named after golden tensors; the largest difference of each over the tensor's rms (or largest value). */
export async function compare(
  one: GoldenFile<GoldenParts>,
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Feeds,
  runtime: Runtime,
  relativeTo: "rms" | "max_abs" = "rms",
): Promise<Map<string, number>> {
  const program = await runtime.compile(outputs);
  const fetched = await program.run(feeds);
  await program.dispose();
  const tensors = goldenTensors(one);
  return new Map(
    Object.keys(outputs).map((name) => {
      const stored = tensors.get(name);
      expect(fetched[name].shape, `shape of ${name}`).toEqual(stored?.shape);
      const difference = largestDifference(fetched[name].data as Float32Array, floatsOf(tensors, name));
      return [name, difference / one.golden.tensors[name][relativeTo]];
    }),
  );
}

export interface Tally {
  /** Checks the errors of one case against a tolerance, and counts it. */
  check(errors: ReadonlyMap<string, number>, tolerance: number): void;
  /** Prints how many cases ran and the largest error; throws where files were asked for and none ran. */
  report(asked: readonly GoldenFile<unknown>[]): void;
}

export function tally(kind: Kind, part: string): Tally {
  let ran = 0;
  let worst = 0;
  return {
    check(errors, tolerance) {
      expect(errors.size, "values compared").toBeGreaterThan(0);
      for (const [name, error] of errors) {
        expect(error, name).toBeLessThanOrEqual(tolerance);
        worst = Math.max(worst, error);
      }
      ran++;
    },
    report: (asked) => reportCases(kind, `${part} (largest error ${worst.toExponential(1)})`, asked, ran),
  };
}
