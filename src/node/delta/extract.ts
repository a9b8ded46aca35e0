// student − base, as a file of delta weights.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { floatsOf, type LazyTensor, lazyChunks } from "../../data/safetensors.ts";
import { readTensor, type TensorIndex } from "../../data/tensorIndex.ts";
import { checkFit, type DeltaTensor, type DeltaType, deltaOf, fitOf } from "../../diffusers/delta.ts";
import { checkWritable, writeAtomic } from "../atomic.ts";
import { type Context, checkInterrupt } from "../context.ts";
import { openModelWeights, unetOf } from "../modelWeights.ts";
import { hashOf } from "./open.ts";

export interface ExtractOptions {
  readonly base: string;
  readonly student: string;
  readonly out: string;
  readonly type: DeltaType;
  readonly variant?: string;
}

/** Throws an Error where the two are not of one architecture. */
export async function extractDelta(o: ExtractOptions, context: Context): Promise<void> {
  const base = unetOf(await openModelWeights(o.base, o.variant));
  const student = await openModelWeights(o.student, o.variant);
  const of = unetOf(student);
  const fit = fitOf(base.tensors, of.tensors);
  checkFit(fit, { base: o.base, delta: o.student });
  await checkWritable(o.out);
  const values = async (index: TensorIndex, name: string) =>
    floatsOf(new Map([[name, await readTensor(index, name)]]), name);
  const make = async (name: string): Promise<DeltaTensor> =>
    deltaOf(await values(base, name), await values(of, name), o.type);
  // The first pass learns the types, which stand in the header; nothing is kept of it but numbers.
  const line = context.report.progress("delta");
  const dtypes = new Map<string, DeltaTensor["dtype"]>();
  let [worst, energy, size, done] = [0, 0, 0, 0];
  try {
    for (const name of fit.fitting) {
      checkInterrupt(context, "Nothing was written.");
      const { dtype, ulps, energy: part } = await make(name);
      dtypes.set(name, dtype);
      worst = Math.max(worst, ulps);
      energy += part;
      for (const value of await values(base, name)) size += value * value;
      line.update({ done: ++done, total: fit.fitting.length, unit: "tensors" });
    }
  } finally {
    line.end();
  }
  const card =
    student.kind === "own" ? { fewstep_card: await readFile(join(student.path, "card.json"), "utf8") } : undefined;
  const lazy = fit.fitting.map(
    (name): LazyTensor => ({
      key: name,
      dtype: dtypes.get(name)!,
      shape: of.tensors.get(name)!.shape,
      data: async () => {
        const { dtype, data } = await make(name);
        return dtype === "F16" ? Float32Array.from(data) : data;
      },
    }),
  );
  await writeAtomic(o.out, lazyChunks(lazy, { format: "pt", fewstep_base: await hashOf(base), ...card }));
  const wide = [...dtypes.values()].filter((dtype) => dtype === "F64").length;
  const relative = size > 0 ? Math.sqrt(energy / size) : 0;
  context.report.event({ kind: "delta", out: o.out, tensors: lazy.length, relative, ulps: worst, float64: wide });
  context.report.result(
    `${o.out}: ${lazy.length} tensors, ${(100 * relative).toPrecision(3)} % of the base's norm. Added to its base it gives the student back to ${ulpText(worst)}${wide > 0 ? ` (${wide} tensors had to be float64 for that; --type float32 or float16 makes a smaller file)` : ""}.`,
  );
}

const ulpText = (ulps: number): string =>
  ulps === 0 ? "the bit" : ulps <= 1 ? "the last place" : `${ulps.toPrecision(3)} units of the last place`;
