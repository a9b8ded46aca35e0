// fewstep pairs: a teacher's pairs, made in parts by any number of machines.
import { join } from "node:path";
import * as z from "zod";
import { canBeGuided } from "../condition.ts";
import { option } from "../recipes/parts.ts";
import { startOf } from "../recipes/start.ts";
import { sweepTemporary } from "./atomic.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";
import { checkUntold, loadModel } from "./models.ts";
import { exists } from "./pairShards.ts";
import { makeShards, missingShards, openPairs, pairsIn, pairsPlan, shardsOf } from "./pairsFolder.ts";
import { partOf, partText } from "./parts.ts";
import { nullClass } from "./sample.ts";

export const pairsOptions = z.object({
  teacher: z.string().describe("A model, run or diffusers folder."),
  pairs: option.pairs(4096),
  pairsDir: z.string().describe("Where the pairs are kept.").meta({ value: "dir" }),
  part: z.string().optional().describe(partText).meta({ value: "i/n" }),
  check: z.boolean().default(false).describe("Lists what is missing or damaged, and makes nothing."),
  guidance: option.guidance().describe("The teacher's guidance; the same as in accelerate."),
  teacherSteps: option.teacherSteps(50),
  teacherSolver: option.teacherSolver(),
  perShard: z
    .int()
    .positive()
    .optional()
    .describe("Pairs in a file; default as many as fit 16 MB, up to 256. A part has whole files."),
  nullClass,
});
export type PairsCommandOptions = z.output<typeof pairsOptions>;

/** Temporary files of other processes are left alone for as long as those may be alive: milliseconds. */
const DEAD = 24 * 3_600_000;
/** Shards that are named in a sentence. */
const NAMED = 20;

export interface PairsState {
  /** Of this part. */
  readonly shards: number;
  readonly missing: readonly number[];
}

/** Makes a part of the pairs, or lists what is missing of it: throws an Error then, if something is. */
export async function makePairs(o: PairsCommandOptions, context: Context): Promise<PairsState> {
  const part = partOf(o.part);
  const loaded = await loadModel(o.teacher, { nullClass: o.nullClass });
  checkUntold(loaded);
  for (const note of loaded.notes) context.report.note(note);
  if (o.guidance !== 1 && !canBeGuided(loaded.model.conditions))
    throw new UsageError(
      `--guidance ${o.guidance} needs a teacher with classes and a "no label"; ${loaded.name} has none.`,
    );
  const teacher = startOf(loaded);
  const source = {
    teacher,
    guidance: o.guidance,
    solver: o.teacherSolver,
    steps: o.teacherSteps,
    pairs: o.pairs,
  };
  const wished = await pairsPlan(source, context, o.perShard);
  if (o.check && !(await exists(join(o.pairsDir, "pairs.json"))))
    throw new Error(`${o.pairsDir} has no pairs yet: all ${shardsOf(wished).length} shards are missing.`);
  const plan = await openPairs(o.pairsDir, wished);
  if (o.perShard !== undefined && plan.perShard !== o.perShard)
    throw new UsageError(`--per-shard is ${o.perShard}, and ${o.pairsDir} has shards of ${plan.perShard} pairs.`);
  if (!o.check) await sweepTemporary([o.pairsDir], DEAD);
  const shards = shardsOf(plan, part);
  const name = part ? `part ${part.index}/${part.count}` : "the pairs";
  if (shards.length === 0)
    context.report.note(
      `There are ${shardsOf(plan).length} shards of ${plan.perShard} pairs, so ${name} is empty: take fewer parts, or a smaller --per-shard in a new folder.`,
    );
  const missing = await missingShards(o.pairsDir, plan, shards, context);
  const count = (some: readonly number[]) => some.reduce((sum, shard) => sum + pairsIn(plan, shard), 0);
  if (o.check) {
    context.report.event({ kind: "missing", shards: missing, of: shards.length, pairs: count(missing) });
    if (missing.length === 0) context.report.result(`${o.pairsDir}: ${name}, ${shards.length} shards, are complete.`);
    else
      throw new Error(
        `${o.pairsDir}: of ${name}, ${missing.length} of ${shards.length} shards are missing (${count(missing)} pairs): ${listOf(missing)}.`,
      );
    return { shards: shards.length, missing };
  }
  await makeShards(o.pairsDir, plan, missing, context);
  const before = shards.length - missing.length;
  context.report.event({ kind: "done", path: o.pairsDir, made: missing.length, found: before });
  context.report.result(
    `${o.pairsDir}: ${name} of ${loaded.name}, ${count(shards)} pairs; ${missing.length} of ${shards.length} shards made, ${before} were there.`,
  );
  return { shards: shards.length, missing: [] };
}

const listOf = (shards: readonly number[]): string =>
  shards.slice(0, NAMED).join(", ") + (shards.length > NAMED ? ` and ${shards.length - NAMED} more` : "");
