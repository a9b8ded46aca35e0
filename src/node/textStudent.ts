// Text-to-image students in folders of diffusers: the teacher's folder with the student's U-Net and the student's sampler.
import { readdir, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { LazyTensor } from "../data/safetensors.ts";
import type { Changes } from "../diffusers/changes.ts";
import { shiftedLabels, type TextStudent, textStudent } from "../diffusers/textStudent.ts";
import { collect } from "../nn/network.ts";
import { type Card, modelOf } from "../run/card.ts";
import { modelReadme } from "../run/modelCard.ts";
import { floats, weightsHash } from "./baseWeights.ts";
import type { Context } from "./context.ts";
import { SCHEDULER_FILE } from "./diffusersFolder.ts";
import { UsageError } from "./failure.ts";
import { readJson } from "./files.ts";
import type { LoadedModel } from "./models.ts";
import { type ModelWeights, openModelWeights, unetOf, writeChanged } from "./modelWeights.ts";
import { runAt } from "./runDir.ts";

/** Whether a card is of a network that is told texts. */
export const isTextCard = ({ network }: Pick<Card, "network">): boolean => network.family === "unet2d-condition";

/** How the student of a card is sampled by diffusers. Throws an Error, one sentence, where that has no words for it. */
export function studentOf(card: Card, name: string): TextStudent {
  const { solver, steps } = card.sampler;
  const { baked } = card.guidance;
  const [least, most] = ["guidance-min", "guidance-max"].map((key) => Number(card.recipe.options[key]));
  const told = modelOf(card).model.conditions.guidance !== undefined;
  const guidance = told ? (least + most) / 2 : baked === 1 ? undefined : 1;
  return textStudent(
    { name, ...modelOf(card), solver },
    {
      steps: solver === "lcm" ? Math.max(...steps) : Math.min(...steps),
      ...(guidance !== undefined && Number.isFinite(guidance) ? { guidance } : {}),
    },
  );
}

/** What makes the U-Net of these weights right under the student's scheduler. */
export function labelChanges(card: Card, by: number): Changes {
  const { network } = modelOf(card);
  if (network.family !== "unet2d-condition" || by === 0) return new Map();
  return new Map([["unet" as const, shiftedLabels(network.config, by)]]);
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

/** The files of a folder that say how a student is sampled. */
export async function studentFiles(card: Card, student: TextStudent, base: string): Promise<Map<string, Uint8Array>> {
  const config = Object(await readJson(join(base, "unet/config.json"))) as Record<string, unknown>;
  const changed = Object.entries(student.unet).filter(([key, value]) => value !== (config[key] ?? null));
  return new Map([
    [SCHEDULER_FILE, json(student.scheduler)],
    ["README.md", new TextEncoder().encode(modelReadme(card, true))],
    ...(changed.length > 0 ? [["unet/config.json", json({ ...config, ...Object.fromEntries(changed) })] as const] : []),
  ]);
}

export interface TextExport {
  readonly out: string;
  /** The teacher's folder; default where the run found it. */
  readonly base?: string;
  readonly variant?: string;
}

/** Writes the folder and returns its sampler's class. Throws an Error for a base of another architecture. */
export async function exportTextStudent(
  loaded: LoadedModel & { readonly card: Card },
  o: TextExport,
  context: Context,
): Promise<TextStudent> {
  const { card, name, params, network } = loaded;
  const student = studentOf(card, name);
  const { path, variant } =
    o.base === undefined ? await teacherOf(loaded, o.variant) : { path: o.base, variant: o.variant };
  const model = await openModelWeights(path, variant);
  if (model.kind !== "folder")
    throw new UsageError(`--base ${path} is no whole folder of diffusers, from which text encoders and VAE are taken.`);
  const index = unetOf(model);
  const spec = collect(network);
  const apart = spec.find((s) => index.tensors.has(s.name) && `${index.tensors.get(s.name)?.shape}` !== `${s.shape}`);
  const added = spec.filter((s) => !index.tensors.has(s.name));
  const foreign = added.find((s) => !s.name.startsWith("time_embedding.cond_proj"));
  if (apart ?? foreign)
    throw new Error(
      `${path} has no "${(apart ?? foreign)?.name}" like the student's. Give its teacher's folder as --base.`,
    );
  const own = spec.filter((s) => index.tensors.has(s.name));
  const hash = await weightsHash({ spec: own, read: (tensor) => floats(index, tensor) });
  if (hash !== card.base)
    context.report.note(
      `${path} is not the teacher that ${name} was made of: the U-Net is the student's all the same, the other parts are as they are there.`,
    );
  const { dtype } = index.tensors.values().next().value!;
  if (dtype !== "F32") context.report.note(`Weights are rounded to the ${dtype} of ${path}.`);
  const turn = labelChanges(card, student.labelShift).get("unet");
  const changes = new Map(
    own.map((s) => [s.name, () => turn?.get(s.name)?.(params.get(s.name)!.data) ?? params.get(s.name)!.data]),
  );
  const more = added.map(
    (s): LazyTensor => ({ key: s.name, dtype: "F32", shape: s.shape, data: async () => params.get(s.name)!.data }),
  );
  const there = await readdir(o.out).catch(() => undefined);
  if (there?.length === 0) await rmdir(o.out);
  await writeChanged(model, o.out, new Map([["unet", changes]]), {
    progress: (file) => context.report.note(`Writing ${file}`),
    replaced: await studentFiles(card, student, path),
    added: more,
  });
  return student;
}

/** The teacher's folder, as the run of this student has noted it. */
async function teacherOf({ path, name }: LoadedModel, variant: string | undefined) {
  const file = runAt(dirname(path)).optionsFile;
  const options = Object(await readJson(file).catch(() => undefined)) as Readonly<Record<string, unknown>>;
  const { teacher } = options;
  if (typeof teacher !== "string" || !(await stat(teacher).catch(() => undefined))?.isDirectory())
    throw new UsageError(
      `${basename(resolve(name))} needs its teacher's folder, for text encoders and VAE, ${typeof teacher === "string" ? `and ${teacher} is gone` : "and no run says where it is"}: give it with --base.`,
    );
  return { path: teacher, variant: variant ?? (typeof options.variant === "string" ? options.variant : undefined) };
}

/** Throws UsageError where a delta's student is no model of this kind of folder. */
export function checkTextBase(card: Card, model: ModelWeights, delta: string): void {
  if (model.kind !== "folder")
    throw new UsageError(
      `${delta} is of a text-to-image student: apply it to a whole diffusers folder, or add it in generate with --delta.`,
    );
  studentOf(card, delta);
}
