// fewstep delta: what a student has learned, as weights to add to other models (extract, apply), as a LoRA (to-lora), and how
// it goes together with a style LoRA (conflict).
import * as z from "zod";
import { deltaValues } from "../../diffusers/changes.ts";
import { type Conflict, conflictOf, conflictScore } from "../../diffusers/deltaLora.ts";
import { matchLora, readLora } from "../../diffusers/lora.ts";
import type { Context } from "../../node/context.ts";
import { applyDelta } from "../../node/delta/apply.ts";
import { extractDelta } from "../../node/delta/extract.ts";
import { openLora } from "../../node/delta/open.ts";
import { deltaToLora } from "../../node/delta/toLora.ts";
import { UsageError } from "../../node/failure.ts";
import { openModelWeights, unetOf } from "../../node/modelWeights.ts";
import { textTable } from "../../node/textTable.ts";
import { command } from "../command.ts";

const scale = z.number().min(-100).max(100);

export const deltaOptions = z.object({
  action: z
    .enum(["extract", "apply", "to-lora", "conflict"])
    .describe("extract <base> <student>, apply <base>, to-lora <delta> or conflict <delta>."),
  paths: z.array(z.string()).default([]).describe("Models (folders, runs, .safetensors files) or a delta."),
  out: z.string().optional().describe("Where the delta, the model or the LoRA is written.").meta({ value: "path" }),
  delta: z.string().optional().describe("apply: the delta weights to add.").meta({ value: "file" }),
  lora: z
    .array(z.string())
    .default([])
    .describe("apply, conflict: LoRA files, in the names of diffusers or kohya.")
    .meta({ value: "files" }),
  scale: scale.default(1).describe("apply: of the delta."),
  loraScale: z.array(scale).default([]).describe("apply: of each LoRA; 1 where not given."),
  blockScale: z
    .array(z.string())
    .default([])
    .describe("apply: more scales for blocks, such as mid_block=0.5,up_blocks.3=0; the longest name that fits wins.")
    .meta({ value: "list" }),
  merge: z
    .enum(["fp32", "fp16"])
    .default("fp32")
    .describe("apply: fp32 adds in float32; fp16 rounds the weights to float16 first, as PeRFlow's loader does."),
  whereShapesMatch: z.boolean().default(false).describe("apply: leave out what the model does not have, and list it."),
  type: z
    .enum(["exact", "float32", "float16"])
    .default("exact")
    .describe("extract: how differences are stored; exact: float64 where float32 does not give the student back."),
  rank: z.int().positive().max(4096).default(64).describe("to-lora: of the approximation."),
  naming: z.enum(["diffusers", "kohya"]).default("diffusers").describe("to-lora: names of the tensors."),
  loraType: z.enum(["float32", "float16"]).default("float32").describe("to-lora: how the factors are stored."),
  scheduler: z
    .string()
    .optional()
    .describe("apply: a scheduler_config.json for the folder, that of the student say.")
    .meta({ value: "file" }),
  variant: z.string().optional().describe("Which weights of a folder: fp16, say."),
});
export type DeltaOptions = z.output<typeof deltaOptions>;

function take(o: DeltaOptions, names: readonly string[]): string[] {
  if (o.paths.length !== names.length)
    throw new UsageError(
      `delta ${o.action} takes ${names.map((name) => `<${name}>`).join(" ")}, got ${o.paths.length === 0 ? "nothing" : o.paths.join(" ")}.`,
    );
  return o.paths;
}

function outOf({ out, action }: DeltaOptions): string {
  if (out === undefined) throw new UsageError(`delta ${action} needs --out: where its result is written.`);
  return out;
}

/** Runs one action. Throws UsageError for options that do not belong together. */
export async function runDelta(o: DeltaOptions, context: Context): Promise<void> {
  if (o.action === "extract") {
    const [base, student] = take(o, ["base", "student"]);
    return extractDelta({ base, student, out: outOf(o), type: o.type, variant: o.variant }, context);
  }
  if (o.action === "apply") {
    const [base] = take(o, ["base"]);
    return applyDelta({ ...o, base, out: outOf(o), blocks: blockScales(o.blockScale) }, context);
  }
  const [delta] = take(o, ["delta"]);
  if (o.action === "to-lora") return deltaToLora({ ...o, delta, out: outOf(o) }, context);
  if (o.lora.length !== 1) throw new UsageError("delta conflict needs one --lora to compare with the delta.");
  return conflict(delta, o.lora[0], context);
}

function blockScales(list: readonly string[]): Map<string, number> {
  return new Map(
    list.map((text) => {
      const [, block, number] = /^([\w.]+)=(.+)$/.exec(text) ?? [];
      const value = Number(number);
      if (block === undefined || number.trim() === "" || !Number.isFinite(value))
        throw new UsageError(
          `--block-scale is ${JSON.stringify(text)}: expected a block and a number, like mid_block=0.5.`,
        );
      return [block, value];
    }),
  );
}

/** How much a delta and a LoRA act in the same directions. */
async function conflict(delta: string, lora: string, { report }: Context): Promise<void> {
  const index = unetOf(await openModelWeights(delta));
  const modules = await readLora(await openLora(lora));
  const { targets, unmatched } = matchLora(modules, new Map([["unet", index.tensors]]), lora);
  const rows: (Conflict & { name: string })[] = [];
  for (const [name, ofName] of targets.get("unet") ?? [])
    for (const module of ofName) rows.push({ name, ...conflictOf(await deltaValues(index, name), module) });
  const score = conflictScore(rows);
  const shown = [...rows].sort((a, b) => b.overlap - a.overlap).slice(0, 8);
  report.event({ kind: "conflict", delta, lora, ...score, modules: rows.length, unmatched: unmatched.length });
  report.result(
    [
      `${lora} on ${delta}: overlap ${score.overlap.toPrecision(3)} (a random delta: ${score.expected.toPrecision(3)}), cosine ${score.cosine.toPrecision(3)}, over ${rows.length} modules.`,
      textTable(
        ["largest overlaps", "overlap", "random", "cosine"],
        shown.map((r) => [r.name, r.overlap.toPrecision(3), r.expected.toPrecision(3), r.cosine.toPrecision(3)]),
      ),
    ].join("\n"),
  );
  if (unmatched.length > 0) report.note(`${unmatched.length} modules of the LoRA are not in the delta.`);
}

export const deltaCommand = command({
  name: "delta",
  summary: "Take what a student learned and add it to other models: extract, apply, to-lora, conflict.",
  positional: ["action", "paths"],
  options: deltaOptions,
  examples: [
    {
      does: "What a student has learned, as weights to add to other models:",
      line: "delta extract teacher student --out delta.safetensors",
    },
    { does: "The same as a LoRA, with its error:", line: "delta to-lora delta.safetensors --out lora.safetensors" },
  ],
  run: runDelta,
});
