// What a student begins as where that is not its teacher: "fresh", a network that nobody has trained, or another model.
import * as z from "zod";
import { classCount } from "../condition.ts";
import { networkModel } from "../model.ts";
import { collect } from "../nn/network.ts";
import { fromConstants } from "../nn/params.ts";
import type { Start } from "../recipes/recipe.ts";
import { startFrom, startOf } from "../recipes/start.ts";
import { randomWeights } from "../run/train.ts";
import { queryOptions, splitQuery } from "./exact.ts";
import { UsageError, usage } from "./failure.ts";
import { type LoadedModel, loadModel } from "./models.ts";
import { networkFor, networkNames } from "./presets.ts";

const fresh = z.object({
  network: z.enum(networkNames).optional(),
  width: z.int().positive().optional(),
  depth: z.int().positive().optional(),
});

/**
 * What training begins with: the teacher, unless `student` is another model or "fresh[?network=…&width=…&depth=…]". An exact
 * teacher has nothing that could be trained, so its student is fresh unless told.
 * Throws UsageError where teacher and student do not fit each other.
 */
export async function beginning(loaded: LoadedModel, student: string | undefined, seed: number): Promise<Start> {
  if (student === undefined && loaded.kind !== "exact") return startOf(loaded);
  const { model, params, sampler, hash } = loaded;
  const teacher = { model, params: fromConstants(params), sampler, asked: hash };
  const parts = isFresh(student) ? freshStudent(loaded, student ?? "fresh", seed) : await loadModel(student as string);
  if (parts.spec.length === 0 || ("kind" in parts && parts.kind === "exact"))
    throw new UsageError(`--student ${student} has no weights that could be trained.`);
  return usage(() => startFrom(teacher, parts));
}

const isFresh = (student: string | undefined) => student === undefined || /^fresh(\?|$)/.test(student);

function freshStudent({ model, timeInput }: LoadedModel, student: string, seed: number) {
  const o = queryOptions(student, fresh, splitQuery(student).values);
  const [channels, height = 1, width = 1] = model.sampleShape;
  const network = usage(() => networkFor([channels, height, width], classCount(model.conditions), o));
  const spec = collect(network);
  const own = networkModel(network, model.form, model.prediction, timeInput);
  return { model: own, network, timeInput, spec, theta: randomWeights(spec, seed) };
}
