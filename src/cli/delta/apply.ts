// A delta and LoRAs added to a model, which is written again under its own names and types.
import { someOf, type TensorIndex } from "../../data/tensorIndex.ts";
import {
  type BlockScales,
  checkBlocks,
  checkFit,
  fitOf,
  fitText,
  type MergeRule,
  mergeDelta,
  scaleOf,
} from "../../diffusers/delta.ts";
import { type LoraModule, type LoraPart, matchLora, mergeLora, readLora } from "../../diffusers/lora.ts";
import type { Change } from "../../diffusers/rewrite.ts";
import type { Part } from "../../diffusers/singleFile.ts";
import type { Context } from "../context.ts";
import { SCHEDULER_FILE } from "../diffusersFolder.ts";
import { UsageError, usage } from "../failure.ts";
import { readJson } from "../files.ts";
import { type ModelWeights, openModelWeights, unetOf, writeChanged } from "../modelWeights.ts";
import { saveMerged } from "./card.ts";
import { deltaValues, hashOf, notesOf, openLora } from "./open.ts";

export interface ApplyOptions {
  readonly base: string;
  readonly out: string;
  readonly delta?: string;
  readonly lora: readonly string[];
  readonly scale: number;
  readonly loraScale: readonly number[];
  readonly blocks: BlockScales;
  readonly merge: MergeRule;
  readonly whereShapesMatch: boolean;
  readonly variant?: string;
  /** A scheduler_config.json for the folder that is written. */
  readonly scheduler?: string;
}

/** Changes by part and name; several of one name follow each other. */
type Changes = Map<Part, Map<string, Change>>;

function addChange(changes: Changes, part: Part, name: string, change: Change): void {
  const ofPart = changes.get(part) ?? new Map<string, Change>();
  const before = ofPart.get(name);
  changes.set(part, ofPart.set(name, before ? async (values) => change(await before(values)) : change));
}

/** Throws an Error for a delta or a LoRA of another architecture, before anything is written. */
export async function applyDelta(o: ApplyOptions, context: Context): Promise<void> {
  if (o.delta === undefined && o.lora.length === 0)
    throw new UsageError("delta apply needs --delta, --lora or both: what to add to the model.");
  if (o.loraScale.length > o.lora.length)
    throw new UsageError(`--lora-scale has ${o.loraScale.length} numbers for ${o.lora.length} LoRAs.`);
  if (o.delta === undefined && (o.blocks.size > 0 || o.scale !== 1))
    throw new UsageError("--scale and --block-scale are of the delta, and no --delta is given.");
  const model = await openModelWeights(o.base, o.variant);
  const changes: Changes = new Map();
  if (o.scheduler !== undefined) {
    if (model.kind !== "folder") throw new UsageError("--scheduler is for diffusers folders; this base is none.");
    const config = await readJson(o.scheduler);
    if (typeof config !== "object" || config === null || !("_class_name" in config))
      throw new Error(`${o.scheduler} has no "_class_name", expected a scheduler_config.json.`);
  }
  const delta = o.delta === undefined ? undefined : await addDelta(o.delta, o, model, changes, context);
  for (const [i, path] of o.lora.entries()) await addLora(path, o.loraScale[i] ?? 1, model, changes, context);
  const card = delta && notesOf(delta).card;
  if (card) await saveMerged(o, model, card, changes.get("unet") ?? new Map());
  else
    await writeChanged(model, o.out, changes, {
      progress: (file) => context.report.note(`Writing ${file}`),
      replaced: new Map(o.scheduler === undefined ? [] : [[SCHEDULER_FILE, o.scheduler]]),
    });
  const count = [...changes.values()].reduce((sum, ofPart) => sum + ofPart.size, 0);
  context.report.event({ kind: "applied", out: o.out, tensors: count });
  context.report.result(
    `${o.out}: ${count} tensors of ${o.base} changed. ${
      card
        ? `See it with: fewstep sample ${o.out} --out grid.png`
        : model.kind === "own"
          ? "The card is the base's: it still says how the base is sampled."
          : o.scheduler === undefined
            ? "Sampling settings are the base's: sample it as the student is sampled (see docs/delta-weights.md)."
            : `Its scheduler is that of ${o.scheduler}.`
    }`,
  );
}

async function addDelta(
  path: string,
  o: ApplyOptions,
  model: ModelWeights,
  changes: Changes,
  { report }: Context,
): Promise<TensorIndex> {
  const base = unetOf(model);
  const delta = unetOf(await openModelWeights(path));
  const fit = fitOf(base.tensors, delta.tensors);
  checkFit(fit, { base: o.base, delta: path }, o.whereShapesMatch);
  for (const line of fitText(fit)) report.note(`${path}: ${line}.`);
  usage(() => checkBlocks(fit.fitting, o.blocks));
  const { base: from } = notesOf(delta);
  if (from !== undefined && from !== (await hashOf(base)))
    report.note(`${path} was extracted from another base: the result is like its student, and is not it.`);
  for (const name of fit.fitting) {
    const scale = scaleOf(name, o.scale, o.blocks);
    addChange(changes, "unet", name, async (values) =>
      mergeDelta(values, await deltaValues(delta, name), { scale, rule: o.merge }),
    );
  }
  return delta;
}

async function addLora(
  path: string,
  scale: number,
  model: ModelWeights,
  changes: Changes,
  { report }: Context,
): Promise<void> {
  const modules: readonly LoraModule[] = await readLora(await openLora(path));
  const parts = new Map(
    [...model.parts].flatMap(([part, index]): [LoraPart, TensorIndex["tensors"]][] =>
      part === "vae" ? [] : [[part, index.tensors]],
    ),
  );
  const { targets, unmatched } = matchLora(modules, parts, path);
  if (unmatched.length > 0)
    report.note(
      `${path}: ${unmatched.length} of ${modules.length} modules fit no weight and are left out: ${someOf(unmatched)}.`,
    );
  for (const [part, ofPart] of targets)
    for (const [name, list] of ofPart)
      addChange(changes, part, name, (values) =>
        mergeLora(
          values,
          list.map((module) => ({ module, scale })),
        ),
      );
}
