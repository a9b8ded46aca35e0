// A delta as a LoRA, with what is lost.

import { deltaValues } from "../../diffusers/changes.ts";
import { approximate } from "../../diffusers/deltaLora.ts";
import { type LoraModule, type LoraNaming, loraTensors } from "../../diffusers/lora.ts";
import { checkWritable } from "../atomic.ts";
import { type Context, checkInterrupt } from "../context.ts";
import { writeSafetensors } from "../files.ts";
import { openModelWeights, unetOf } from "../modelWeights.ts";

export interface ToLoraOptions {
  readonly delta: string;
  readonly out: string;
  readonly rank: number;
  readonly naming: LoraNaming;
  readonly loraType: "float32" | "float16";
}

/** Matrices and convolutions become modules; biases, norms and embeddings cannot, and count as lost. */
export async function deltaToLora(o: ToLoraOptions, context: Context): Promise<void> {
  const index = unetOf(await openModelWeights(o.delta));
  await checkWritable(o.out);
  const dtype = o.loraType === "float16" ? "F16" : "F32";
  const modules: LoraModule[] = [];
  const [all, inside] = [
    { energy: 0, lost: 0 },
    { energy: 0, lost: 0 },
  ];
  let outside = 0;
  const line = context.report.progress("to-lora");
  try {
    let done = 0;
    for (const [name, { shape }] of index.tensors) {
      checkInterrupt(context, "Nothing was written.");
      const values = await deltaValues(index, name);
      let energy = 0;
      for (let i = 0; i < values.length; i++) energy += values[i] ** 2;
      const fits =
        name.endsWith(".weight") && (shape.length === 2 || shape.length === 4) && !name.includes("embedding.weight");
      const found = fits ? approximate(name.slice(0, -7), values, shape, o.rank, dtype) : null;
      if (found) modules.push(found.module);
      all.energy += energy;
      all.lost += found ? found.lost : energy;
      if (fits) {
        inside.energy += energy;
        inside.lost += found ? found.lost : 0;
      } else outside++;
      line.update({ done: ++done, total: index.tensors.size, unit: "tensors" });
    }
  } finally {
    line.end();
  }
  if (modules.length === 0)
    throw new Error(
      `${o.delta} holds no matrix that is not zero, expected the delta of a network. Nothing was written.`,
    );
  await writeSafetensors(o.out, loraTensors(modules, o.naming, dtype), { format: "pt" });
  const share = ({ energy, lost }: typeof all) => (energy > 0 ? Math.sqrt(lost / energy) : 0);
  context.report.event({
    ...{ kind: "lora", out: o.out, modules: modules.length, rank: o.rank },
    ...{ error: share(inside), errorOfAll: share(all), outside },
  });
  context.report.result(
    `${o.out}: ${modules.length} modules of rank up to ${o.rank}. Relative error ${share(inside).toPrecision(3)} on them; ${share(all).toPrecision(3)} on the whole delta, of which ${outside} biases, norms and embeddings cannot be a LoRA.`,
  );
}
