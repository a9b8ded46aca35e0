// A model of fewstep from a base and the delta of one: the card is the student's, for it says how few-step weights are sampled,
// and a wrong form would be a silent error.
import { stat } from "node:fs/promises";
import { floatsOf } from "../../data/safetensors.ts";
import { readTensor } from "../../data/tensorIndex.ts";
import type { Change } from "../../diffusers/rewrite.ts";
import { checkWeights } from "../../diffusers/weights.ts";
import { sha256With } from "../../hash.ts";
import { collect } from "../../nn/network.ts";
import { flatten, type ParamArray } from "../../nn/params.ts";
import { type Card, modelOf } from "../../run/card.ts";
import { nodeHasher } from "../../runtime/node.ts";
import { loadModel, saveModel } from "../models.ts";
import { type ModelWeights, unetOf } from "../modelWeights.ts";

/** Throws an Error where the base is not a network like the student's. */
export async function saveMerged(
  { base, out }: { readonly base: string; readonly out: string },
  model: ModelWeights,
  card: Card,
  changes: ReadonlyMap<string, Change>,
): Promise<void> {
  const exists = await stat(out).catch(() => undefined);
  if (exists) throw new Error(`${out} exists, and nothing in it is overwritten. Give --out another folder.`);
  if (card.network.family === "onnx")
    throw new Error(
      "This delta is of an imported ONNX model, which has no folder to be written to. Merge with its own tools.",
    );
  const built = modelOf(card);
  const index = unetOf(model);
  const spec = collect(built.network);
  checkWeights(spec, index);
  // The form is the student's; a base on another table of noise would be read wrongly without a word.
  if (model.kind !== "file" && model.kind !== "part") await sameForm(base, card);
  const merged = new Map<string, ParamArray>();
  const original = new Map<string, ParamArray>();
  for (const { name, shape } of spec) {
    const values = floatsOf(new Map([[name, await readTensor(index, name)]]), name);
    original.set(name, { shape, data: values });
    merged.set(name, { shape, data: (await changes.get(name)?.(values)) ?? values });
  }
  const bytes = new Uint8Array(flatten(spec, original).buffer);
  await saveModel(
    out,
    { ...card, base: await sha256With(nodeHasher, bytes) },
    spec,
    flatten(spec, merged),
    built.network,
  );
}

async function sameForm(base: string, card: Card): Promise<void> {
  const { model, timeInput } = await loadModel(base);
  const of = card.form.kind === "chord" ? card.form.base : card.form;
  const has = model.form.spec.kind === "chord" ? model.form.spec.base : model.form.spec;
  if (JSON.stringify(sorted(of)) !== JSON.stringify(sorted(has)) || timeInput.scale !== card.timeInput.scale)
    throw new Error(
      `The delta's student noises as ${JSON.stringify(of)}, ${base} as ${JSON.stringify(has)}. Give a base with the student's noise schedule.`,
    );
}

const sorted = (spec: object): unknown => Object.entries(spec).sort(([a], [b]) => (a < b ? -1 : 1));
