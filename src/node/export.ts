// Models for other runtimes: the sampler or the network as an ONNX file, or a diffusers folder.
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import * as z from "zod";
import { canBeGuided } from "../condition.ts";
import { diffusersConfigs } from "../diffusers/write.ts";
import { emitGraph, type Outputs } from "../graph/emitter.ts";
import { portable } from "../graph/portable.ts";
import { modelBytes } from "../graph/proto.ts";
import { fromConstants, fromExternal, type Params } from "../nn/params.ts";
import type { Card } from "../run/card.ts";
import { frontMatter } from "../run/modelCard.ts";
import { samplingGrid } from "../run/sample.ts";
import { evaluateOnce, parameterBytes, type UnrolledSolver, unroll, unrolledSolvers } from "../run/unroll.ts";
import { makeFolder, writeAtomic } from "./atomic.ts";
import type { Context } from "./context.ts";
import { UsageError, usage } from "./failure.ts";
import { writeJson, writeSafetensors } from "./files.ts";
import { checkUntold, type LoadedModel, loadModel } from "./models.ts";
import { nullClass } from "./sample.ts";
import { exportTextStudent, isTextCard } from "./textStudent.ts";

const count = z.int().positive();

export const exportOptions = z.object({
  model: z.string().describe("A model, run or diffusers folder."),
  to: z.enum(["onnx", "diffusers"]).describe("An ONNX file for any runtime, or a folder for Python's diffusers."),
  out: z.string().describe("A folder that is not there yet, or empty.").meta({ value: "dir" }),
  part: z
    .enum(["sampler", "network"])
    .default("sampler")
    .describe("onnx: the whole sampler, from noise to sample, or one evaluation of the network."),
  steps: count.optional().describe("onnx: steps of the sampler; default the fewest the model was made for."),
  solver: z.string().optional().describe("onnx: default the one the model was made for."),
  guidance: z.number().default(1).describe("onnx: null + g(conditional - null); 1: none."),
  batch: count.default(1).describe("onnx: samples at once, fixed in the file."),
  externalData: z
    .boolean()
    .default(false)
    .describe("onnx: weights in a file of their own; done in any case above 2 GB."),
  base: z
    .string()
    .optional()
    .describe("diffusers, of a text-to-image student: its teacher's folder; default where its run found it.")
    .meta({ value: "folder" }),
  variant: z.string().optional().describe("diffusers, of a text-to-image student: which weights of that folder."),
  nullClass,
});
export type ExportOptions = z.output<typeof exportOptions>;

/** Parameters above this go into a file of their own: a model.onnx of 2 GiB cannot be read. */
const MOST_INSIDE = 1.9e9;

const DATA_FILE = "model.onnx_data";

/** Exports, and returns the folder. Throws UsageError for what the target cannot hold, an Error for a folder that is in use. */
export async function exportModel(o: ExportOptions, context: Context): Promise<string> {
  const there = await readdir(o.out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new Error(`${o.out} is there and no folder. Give --out another name.`, { cause: error });
  });
  if (there.length > 0)
    throw new Error(`${o.out} is not empty, and nothing in it is overwritten. Give --out another folder.`);
  const loaded = await loadModel(o.model, { nullClass: o.nullClass });
  for (const note of loaded.notes) context.report.note(note);
  if (o.to === "diffusers" && loaded.card && isTextCard(loaded.card))
    return exportText({ ...loaded, card: loaded.card }, o, context);
  const idle = (["base", "variant"] as const).filter((key) => o[key] !== undefined);
  if (idle.length > 0)
    throw new UsageError(`--${idle.join(" and --")} belong to text-to-image students, and ${loaded.name} is none.`);
  checkUntold(loaded);
  const parent = dirname(resolve(o.out));
  await makeFolder(parent);
  const temporary = join(parent, `.${basename(resolve(o.out))}.${process.pid}.tmp`);
  try {
    await mkdir(temporary);
    const said = o.to === "onnx" ? await writeOnnx(loaded, o, temporary) : await writeDiffusers(loaded, temporary);
    if (there.length === 0) await rm(o.out, { recursive: true, force: true });
    await rename(temporary, o.out);
    for (const note of said.notes) context.report.note(note);
    context.report.event({ kind: "exported", model: loaded.path, to: o.to, out: o.out, ...said.fields });
    context.report.result(`${o.out}: ${said.text}`);
    return o.out;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw cause;
  }
}

async function exportText(
  loaded: LoadedModel & { readonly card: Card },
  o: ExportOptions,
  context: Context,
): Promise<string> {
  const { report } = context;
  const { scheduler, notes } = await exportTextStudent(loaded, o, context);
  for (const note of notes) report.note(note);
  const kind = scheduler._class_name;
  report.event({ kind: "exported", model: loaded.path, to: o.to, out: o.out, scheduler: kind });
  report.result(
    `${o.out}: a diffusers folder with the student's U-Net and ${kind}. Pictures: fewstep generate ${o.out} --prompt "…"`,
  );
  return o.out;
}

interface Said {
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** The weights in a file beside the model, in the order of the network. */
async function externalParams(loaded: LoadedModel, folder: string): Promise<Params> {
  const { theta, spec } = loaded;
  await writeAtomic(join(folder, DATA_FILE), new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength));
  let offset = 0;
  const places = spec.map(({ name, shape }) => {
    const place = { folder, location: DATA_FILE, offset };
    offset += 4 * shape.reduce((a, b) => a * b, 1);
    return [name, { shape, place }] as const;
  });
  return fromExternal(new Map(places));
}

async function writeOnnx(loaded: LoadedModel, o: ExportOptions, folder: string): Promise<Said> {
  const { model, name, network, spec } = loaded;
  const whole = o.part === "sampler";
  const solver = solverOf(loaded, o);
  const steps = o.steps ?? Math.min(...loaded.sampler.steps);
  if (!whole && (o.steps !== undefined || o.solver !== undefined || o.guidance !== 1))
    throw new UsageError("--steps, --solver and --guidance belong to --part sampler: one evaluation has none of them.");
  if (o.guidance !== 1 && !canBeGuided(model.conditions) && !model.conditions.guidance)
    throw new UsageError(`--guidance ${o.guidance} needs a model with classes; ${name} has none.`);
  const times = usage(() => samplingGrid(model.form, loaded.sampler.grid, steps, model.prediction));
  const bytes = parameterBytes(spec);
  const outside = o.externalData || bytes > MOST_INSIDE;
  const params = outside ? await externalParams(loaded, folder) : fromConstants(loaded.params);
  const output: Outputs = whole
    ? { sample: unroll(model, params, { batch: o.batch, times, solver, guidance: o.guidance }) }
    : { out_sample: evaluateOnce(network, params, o.batch) };
  // As for WebGPU: plain operators of ONNX, none of ONNX Runtime's own.
  const { graph, inputs, outputs } = emitGraph(output, "webgpu");
  await writeAtomic(join(folder, "model.onnx"), modelBytes(portable(graph), []));
  const types = { float32: "float32", int64: "int32", bool: "bool" } as const;
  const described = [
    ...inputs.map((x) => ["in", x.source.kind === "input" ? x.source.name : "", types[x.dtype], x.shape] as const),
    ...outputs.map((y) => ["out", y.name, types[y.dtype], y.shape] as const),
  ];
  await writeAtomic(join(folder, "README.md"), onnxReadme(loaded, { ...o, steps, solver, times, described, outside }));
  const part = whole ? `the sampler, ${solver} in ${steps} steps` : "one evaluation of the network";
  return {
    text: `model.onnx with ${part}, for ${o.batch} sample${o.batch === 1 ? "" : "s"} at a time${outside ? `; its weights are in ${DATA_FILE}` : ""}. README.md says what goes in and comes out.`,
    fields: { part: o.part, ...(whole ? { steps, solver, times } : {}), external: outside },
    notes: [],
  };
}

/** Throws UsageError for a solver that cannot be unrolled. */
function solverOf(loaded: LoadedModel, o: ExportOptions): UnrolledSolver {
  const asked = o.solver ?? loaded.sampler.solver;
  const found = unrolledSolvers.find((solver) => solver === asked);
  if (found) return found;
  if (o.part === "network") return "ddim";
  throw new UsageError(
    `--solver ${asked} cannot be unrolled; there are ${unrolledSolvers.join(", ")}. Or export one evaluation with --part network, and step yourself.`,
  );
}

interface Told extends ExportOptions {
  readonly steps: number;
  readonly solver: string;
  readonly times: readonly number[];
  readonly described: readonly (readonly [way: string, name: string, type: string, shape: readonly number[]])[];
  readonly outside: boolean;
}

function onnxReadme({ name, model, network, card, timeInput }: LoadedModel, told: Told): string {
  const { form, prediction } = model;
  const meaning: Readonly<Record<string, string>> = {
    noise: "standard normal numbers",
    class_labels: `0 to ${(model.conditions.labels?.rows ?? 1) - 1}${model.conditions.labels?.none ? '; the last means "no class"' : ""}`,
    sample: told.part === "sampler" ? "the samples, data in [-1, 1]" : `the state at a time, alpha·x0 + sigma·eps`,
    timestep: `${timeInput.scale}·t${timeInput.offset === 0 ? "" : ` ${timeInput.offset < 0 ? "−" : "+"} ${Math.abs(timeInput.offset)}`}, with t from 0 (data) to 1 (noise)`,
    out_sample: `what the network predicts: ${(model.own ?? prediction).name}`,
  };
  const rows = told.described.map(
    ([way, key, type, shape]) =>
      `| ${way} | \`${key}\` | ${type} | ${shape.join(" x ")} | ${meaning[key] ?? (key.startsWith("noise_") ? "standard normal numbers, fresh" : "")} |`,
  );
  const what =
    told.part === "sampler"
      ? `The whole sampler: ${told.solver} in ${told.steps} steps, at the times ${told.times.map((t) => Number(t.toPrecision(6))).join(", ")}${told.guidance === 1 ? "" : `, with guidance ${told.guidance}`}. One run of the file makes samples from noise.`
      : `One evaluation of the network (${network.family}). The form is \`${JSON.stringify(form.spec)}\`, the state at a time is alpha·x0 + sigma·eps.`;
  return `${card ? frontMatter(card) : "---\nlibrary_name: onnx\n---\n"}
# ${name}, as ONNX

${what}

| | name | type | shape | |
|---|---|---|---|---|
${rows.join("\n")}

Opset 21, operators of ONNX alone, float32. The batch is fixed.${told.outside ? ` The weights lie in \`${DATA_FILE}\`, which has to stay beside model.onnx.` : ""}
`;
}

async function writeDiffusers(loaded: LoadedModel, folder: string): Promise<Said> {
  const { name, network, model, timeInput, sampler, card, params } = loaded;
  const { modelIndex, unet, scheduler, notes } = diffusersConfigs({
    name,
    network,
    model,
    timeInput,
    solver: sampler.solver,
  });
  for (const part of ["unet", "scheduler"]) await mkdir(join(folder, part));
  await writeJson(join(folder, "model_index.json"), modelIndex);
  await writeJson(join(folder, "unet/config.json"), unet);
  await writeSafetensors(join(folder, "unet/diffusion_pytorch_model.safetensors"), params, { format: "pt" });
  await writeJson(join(folder, "scheduler/scheduler_config.json"), scheduler);
  const kind = String(scheduler._class_name);
  const flow = kind === "FlowMatchEulerDiscreteScheduler";
  const steps = Math.min(...sampler.steps);
  const set = flow
    ? `scheduler.set_timesteps(sigmas=[1 - k / ${steps} for k in range(${steps})])`
    : `scheduler.set_timesteps(${steps})`;
  const labels = model.conditions.labels?.rows ? ", class_labels=labels" : "";
  await writeAtomic(
    join(folder, "README.md"),
    `${card ? frontMatter(card).replace("library_name: fewstep", "library_name: diffusers") : "---\nlibrary_name: diffusers\n---\n"}
# ${name}

Exported by fewstep; made for ${sampler.steps.join(" or ")} steps. In Python:

\`\`\`python
import torch
from diffusers import UNet2DModel, ${kind}

unet = UNet2DModel.from_pretrained(".", subfolder="unet")
scheduler = ${kind}.from_pretrained(".", subfolder="scheduler")
${set}
x = torch.randn(16, ${model.sampleShape.join(", ")})
${labels ? `labels = torch.arange(16) % ${model.conditions.labels?.rows}\n` : ""}with torch.no_grad():
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t${labels}).sample, t, x).prev_sample
\`\`\`
${notes.map((note) => `\n${note}\n`).join("")}`,
  );
  return {
    text: `a diffusers folder with UNet2DModel and ${kind}, made for ${sampler.steps.join(" or ")} steps.`,
    fields: { scheduler: kind, steps: sampler.steps },
    notes,
  };
}
