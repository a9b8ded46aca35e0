// A delta and LoRAs added to a model, which is written again under its own names and types.
import { someOf, type TensorIndex } from "../../data/tensorIndex.ts";
import { type Changes, deltaChanges, joinChanges, loraChanges } from "../../diffusers/changes.ts";
import { type BlockScales, fitText, type MergeRule } from "../../diffusers/delta.ts";
import { readLora } from "../../diffusers/lora.ts";
import type { Context } from "../context.ts";
import { SCHEDULER_FILE } from "../diffusersFolder.ts";
import { UsageError } from "../failure.ts";
import { readJson } from "../files.ts";
import { type ModelWeights, openModelWeights, unetOf, writeChanged } from "../modelWeights.ts";
import { checkTextBase, isTextCard, labelChanges, studentFiles, studentOf } from "../textStudent.ts";
import { saveMerged } from "./card.ts";
import { hashOf, notesOf, openLora } from "./open.ts";

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

/** Throws an Error for a delta or a LoRA of another architecture, before anything is written. */
export async function applyDelta(o: ApplyOptions, context: Context): Promise<void> {
  if (o.delta === undefined && o.lora.length === 0)
    throw new UsageError("delta apply needs --delta, --lora or both: what to add to the model.");
  if (o.loraScale.length > o.lora.length)
    throw new UsageError(`--lora-scale has ${o.loraScale.length} numbers for ${o.lora.length} LoRAs.`);
  if (o.delta === undefined && (o.blocks.size > 0 || o.scale !== 1))
    throw new UsageError("--scale and --block-scale are of the delta, and no --delta is given.");
  const model = await openModelWeights(o.base, o.variant);
  if (o.scheduler !== undefined) await checkScheduler(o.scheduler, model);
  const delta = o.delta === undefined ? undefined : unetOf(await openModelWeights(o.delta));
  const lists = delta ? [await deltaPart(delta, o, unetOf(model), context)] : [];
  for (const [i, path] of o.lora.entries()) lists.push(await loraPart(path, o.loraScale[i] ?? 1, model, context));
  const changes = joinChanges(lists);
  const card = delta && notesOf(delta).card;
  const text = card && isTextCard(card);
  if (text) {
    checkTextBase(card, model, o.delta!);
    const student = studentOf(card, o.delta!);
    const own = o.scheduler === undefined ? await studentFiles(card, student, model.path) : new Map();
    const perflow = o.scheduler === undefined ? student.labelShift : 0;
    await writeChanged(model, o.out, joinChanges([changes, labelChanges(card, perflow)]), {
      progress: (file) => context.report.note(`Writing ${file}`),
      replaced: new Map([...own, ...(o.scheduler === undefined ? [] : [[SCHEDULER_FILE, o.scheduler] as const])]),
    });
  } else if (card) await saveMerged(o, model, card, changes.get("unet") ?? new Map());
  else
    await writeChanged(model, o.out, changes, {
      progress: (file) => context.report.note(`Writing ${file}`),
      replaced: new Map(o.scheduler === undefined ? [] : [[SCHEDULER_FILE, o.scheduler]]),
    });
  const count = [...changes.values()].reduce((sum, ofPart) => sum + ofPart.size, 0);
  context.report.event({ kind: "applied", out: o.out, tensors: count });
  context.report.result(
    `${o.out}: ${count} tensors of ${o.base} changed. ${
      text
        ? `See it with: fewstep generate ${o.out} --prompt "…"`
        : card
          ? `See it with: fewstep sample ${o.out} --out grid.png`
          : model.kind === "own"
            ? "The card is the base's: it still says how the base is sampled."
            : o.scheduler === undefined
              ? "Sampling settings are the base's: sample it as the student is sampled (see docs/delta-weights.md)."
              : `Its scheduler is that of ${o.scheduler}.`
    }`,
  );
}

async function checkScheduler(file: string, { kind, path }: ModelWeights): Promise<void> {
  if (kind !== "folder") throw new UsageError(`--scheduler is for diffusers folders, and ${path} is none.`);
  const config = await readJson(file);
  if (typeof config !== "object" || config === null || !("_class_name" in config))
    throw new Error(`${file} has no "_class_name", expected a scheduler_config.json.`);
}

async function deltaPart(
  delta: TensorIndex,
  o: ApplyOptions,
  base: TensorIndex,
  { report }: Context,
): Promise<Changes> {
  const { changes, fit } = usageOf(() =>
    deltaChanges(base, delta, { scale: o.scale, blocks: o.blocks, rule: o.merge, partly: o.whereShapesMatch }),
  );
  for (const line of fitText(fit)) report.note(`${o.delta}: ${line}.`);
  const { base: from } = notesOf(delta);
  if (from !== undefined && from !== (await hashOf(base)))
    report.note(`${o.delta} was extracted from another base: the result is like its student, and is not it.`);
  return changes;
}

/** A block that there is not is a wrong option; a delta that does not fit is no fault of the command line. */
function usageOf<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message, { cause: error }) : error;
  }
}

async function loraPart(path: string, scale: number, model: ModelWeights, { report }: Context): Promise<Changes> {
  const modules = await readLora(await openLora(path));
  const { changes, unmatched } = loraChanges(model.parts, modules, scale, path);
  if (unmatched.length > 0)
    report.note(
      `${path}: ${unmatched.length} of ${modules.length} modules fit no weight and are left out: ${someOf(unmatched)}.`,
    );
  return changes;
}
