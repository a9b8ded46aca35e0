// fewstep info: what a model, a run, a checkpoint, a diffusers folder or data is, in words.
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as z from "zod";
import { classCount } from "../../condition.ts";
import { show } from "../../core/show.ts";
import type { OnnxNetwork } from "../../nn/onnxNetwork.ts";
import { countParams } from "../../nn/params.ts";
import type { Context } from "../../node/context.ts";
import { isDiffusers } from "../../node/diffusersFolder.ts";
import { countData, openSafetensors, readJson } from "../../node/files.ts";
import { locate, type OutlinedModel, outlineModel } from "../../node/models.ts";
import { valuesIn } from "../../node/options.ts";
import { readLog, runAt } from "../../node/runDir.ts";
import { command } from "../command.ts";
import { tensorFile } from "../tensorKinds.ts";

export const infoOptions = z.object({
  path: z.string().describe("A model, run, folder of runs, checkpoint, diffusers folder or data."),
});

export interface Info {
  readonly what: "run" | "model" | "diffusers" | "safetensors" | "pairs" | "data";
  readonly text: string;
  /** The same for programs, with --json. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Throws an Error where the path is none of these. */
export async function describePath(path: string): Promise<Info> {
  if (path.startsWith("toy:")) return describeData(path);
  const info = await stat(path).catch(() => undefined);
  if (info?.isFile() && path.endsWith(".safetensors")) return describeTensors(path);
  const has = (name: string) =>
    stat(join(path, name)).then(
      () => true,
      () => false,
    );
  if (info?.isDirectory()) {
    if (await has("options.json")) return describeRun(path);
    if ((await has("card.json")) || (await isDiffusers(path))) {
      const found = await outlineModel(path);
      const what = found.kind === "diffusers" ? "diffusers" : "model";
      return { what, text: modelText(found), fields: modelFields(found) };
    }
    if (await has("pairs.json")) return describePairs(path);
    const newest = await locate(path).catch(() => undefined);
    if (newest) return describeRun(dirname(newest.path));
  }
  return describeData(path);
}

function modelText({ path, kind, network, model, spec, sampler, card, notes }: OutlinedModel): string {
  const { form, prediction, conditions } = model;
  const count = classCount(conditions);
  const classes =
    count === 0 ? "no classes" : `${count} classes and ${conditions.labels?.none ? "" : "none for "}"no class"`;
  const who =
    kind === "diffusers"
      ? "a diffusers folder"
      : card?.base
        ? `a student (${card.recipe.method})`
        : `a teacher (${card?.recipe.method})`;
  const lines = [
    `${path}: ${who}.`,
    `It predicts ${prediction.name} on the form ${form.name}${form.windows ? ` with ${form.windows.count} windows` : ""}.`,
    `Its network is ${network.family === "onnx" ? onnxText(network) : network.family} with ${grouped(countParams(spec))} parameters; samples are ${model.sampleShape.join(" x ")}, ${classes}.`,
    kind === "diffusers"
      ? `It says nothing of its sampler; here ${sampler.solver} with ${sampler.steps.join(", ")} steps is used.`
      : `It was made for ${sampler.solver} with ${sampler.steps.join(", ")} steps${sampler.grid.kind === "windows" ? ", spread over the windows" : ""}.`,
  ];
  if (card) {
    lines.push(
      `It has seen ${grouped(card.imagesSeen)} images${card.teacherNfe > 0 ? ` and spent ${grouped(card.teacherNfe)} evaluations of its teacher (${card.base?.slice(0, 12)})` : ""}, from seed ${card.seed}, by fewstep ${card.library}.`,
    );
    if (card.guidance.baked !== 1) lines.push(`Guidance ${card.guidance.baked} is baked in: sample it without.`);
  }
  return [...lines, ...notes].join("\n");
}

function modelFields({ kind, network, model, spec, sampler, card, notes }: OutlinedModel): Record<string, unknown> {
  const { form, prediction, conditions } = model;
  return {
    kind,
    method: card?.recipe.method,
    form: form.name,
    windows: form.windows?.count,
    prediction: prediction.name,
    network: network.family,
    parameters: countParams(spec),
    shape: model.sampleShape,
    classes: classCount(conditions),
    sampler,
    ...(card && {
      library: card.library,
      imagesSeen: card.imagesSeen,
      teacherNfe: card.teacherNfe,
      base: card.base,
      guidance: card.guidance.baked,
      seed: card.seed,
    }),
    notes,
  };
}

/** An imported network by what it takes and gives. */
const onnxText = ({ config }: OnnxNetwork): string => {
  const inputs = [config.sample, config.timestep, ...(config.labels === null ? [] : [config.labels])];
  return `an imported ONNX model (${inputs.join(", ")} to ${config.output})`;
};

const whole = z.int().nonnegative();
/** Of a step in log.jsonl; a loss that is not finite is null there. */
const step = z.object({ step: whole, images: whole, loss: z.number().nullish() });
/** Of the metadata of a state. */
const inText = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const checkpoint = z.object({ step: inText, stage: inText.default(0) });

/** Throws an Error that names file and value. */
function told<S extends z.ZodType>(values: Readonly<Record<string, unknown>>, key: string, schema: S, file: string) {
  const result = schema.safeParse(values[key]);
  if (result.success) return result.data;
  throw new Error(`${file} has ${key} ${show(values[key])}, which no run has, so it is damaged.`);
}

async function describeRun(path: string): Promise<Info> {
  const run = runAt(path);
  const options = valuesIn(await readJson(run.optionsFile), run.optionsFile);
  const [command, images, batch] = [
    told(options, "command", z.string(), run.optionsFile),
    told(options, "images", whole, run.optionsFile),
    told(options, "batch", whole, run.optionsFile),
  ];
  const method = told(options, "method", z.string().optional(), run.optionsFile);
  const logged = ((await readLog(run.logFile)) ?? []).flatMap((event) => step.safeParse(event).data ?? []);
  const last = logged.at(-1);
  const lines = [
    `${path}: a run of fewstep ${command}${method ? ` --method ${method}` : ""}.`,
    last === undefined
      ? "It has not logged a step."
      : `It logged step ${last.step}: ${grouped(last.images)} of ${grouped(images)} images, loss ${last.loss?.toPrecision(4) ?? "of no finite number"}.`,
  ];
  const state = join(run.state, "state.safetensors");
  const file = await openSafetensors(state).catch(() => undefined);
  await file?.close();
  const saved = checkpoint.safeParse(file?.metadata).data;
  const model = await outlineModel(path).catch(() => undefined);
  const { step: at, stage } = saved ?? { step: 0, stage: 0 };
  // Steps are counted in a stage, images in all of them.
  const seen = stage > 0 ? (model?.card?.imagesSeen ?? 0) : at * batch;
  const finished = saved !== undefined && seen >= images;
  const place = `Its checkpoint is of step ${at}${stage > 0 ? ` of stage ${stage + 1}` : ""}`;
  if (finished) lines.push(`${place}, the last one: it is finished.`);
  else if (saved) lines.push(`${place}; go on with: fewstep ${command} --resume ${path}`);
  else lines.push("It has no readable checkpoint.");
  return {
    what: "run",
    text: [...lines, ...(model ? [modelText(model)] : ["It has no readable model."])].join("\n"),
    fields: {
      options,
      logged: last ?? null,
      checkpoint: saved?.step ?? null,
      finished,
      model: model ? { path: model.path, ...modelFields(model) } : null,
    },
  };
}

async function describeTensors(path: string): Promise<Info> {
  const file = await openSafetensors(path);
  await file.close();
  const { text, ...fields } = tensorFile(file, basename(path));
  const lines = [
    `${path}: ${text}.`,
    ...[...file.entries].slice(0, 8).map(([name, { dtype, shape }]) => `  ${name}  ${dtype} [${shape.join(", ")}]`),
  ];
  if (file.entries.size > 8) lines.push(`  and ${file.entries.size - 8} more`);
  return { what: "safetensors", text: lines.join("\n"), fields: { ...fields, metadata: file.metadata } };
}

async function describePairs(path: string): Promise<Info> {
  const file = join(path, "pairs.json");
  const made = valuesIn(await readJson(file), file);
  const shards = (await readdir(path)).filter((name) => /^pairs-\d+\.safetensors$/.test(name)).length;
  const text = `${path}: teacher pairs in ${shards} shards of up to ${show(made.perShard)}, made with ${told(made, "solver", z.string(), file)} in ${show(made.steps)} steps, guidance ${show(made.guidance)}, seed ${show(made.seed)}.`;
  return { what: "pairs", text, fields: { shards, ...made } };
}

async function describeData(path: string): Promise<Info> {
  const { size, shape, classes, encoded, notes } = await countData(path);
  const [c, h, w] = shape;
  const kind =
    h === 1 && w === 1 ? `points of dimension ${c}` : `images of ${w} x ${h} with ${c} channel${c === 1 ? "" : "s"}`;
  const first = encoded && size > 1 ? " (the first one; the others were not decoded)" : "";
  const text = `${path}: data, ${grouped(size)} ${kind}${first}, ${classes === 0 ? "no classes" : `${classes} classes`}.`;
  return { what: "data", text: [text, ...notes].join("\n"), fields: { size, shape, classes, sizesChecked: !encoded } };
}

const grouped = (n: number) => n.toLocaleString("en-US");

export const infoCommand = command({
  name: "info",
  summary: "Say what a path is, in words.",
  positional: ["path"],
  options: infoOptions,
  examples: [
    { does: "The newest run, in words:", line: "info runs" },
    { does: "Fields for programs:", line: "info assets/mnist-teacher --json" },
  ],
  standalone: true,
  async run({ path }, { report }: Context) {
    const { what, text, fields } = await describePath(path);
    report.event({ kind: "info", path, what, text, [what]: fields });
    report.result(text);
  },
});
