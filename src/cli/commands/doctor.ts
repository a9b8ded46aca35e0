// fewstep doctor: what this machine can do, found out line by line, so that what fails is known with what came before it.
import { readFile, statfs } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus, release, tmpdir } from "node:os";
import { resolve } from "node:path";
import * as z from "zod";
import { add, input } from "../../graph/index.ts";
import type { Context } from "../../node/context.ts";
import { sentence, UsageError } from "../../node/failure.ts";
import { generateOptions } from "../../node/generate/options.ts";
import { type Finding, preflight } from "../../node/generate/preflight.ts";
import { availableMemory } from "../../node/memory.ts";
import { preflightModel } from "../../node/modelPreflight.ts";
import { locate } from "../../node/models.ts";
import { flagName } from "../../node/options.ts";
import { isTextFolder } from "../../node/textTeacher.ts";
import { nodeRuntime } from "../../runtime/node.ts";
import { version } from "../../version.ts";
import { command } from "../command.ts";

/** What of `generate` decides about memory and time. */
const asked = generateOptions.pick({
  width: true,
  height: true,
  steps: true,
  batch: true,
  guidance: true,
  tiling: true,
  sampler: true,
  scheduler: true,
  prediction: true,
  windows: true,
  variant: true,
  base: true,
  vae: true,
  safety: true,
});
const doctorOptions = z.object({
  model: z
    .string()
    .optional()
    .describe("A model: what it needs, before anything of it is loaded. Without: what this machine can do."),
  ...asked.shape,
});
type DoctorOptions = z.output<typeof doctorOptions>;

/** Node from 20.19 on, as package.json says. */
const OLDEST_NODE = [20, 19] as const;
const devices = ["cpu", "webgpu", "cuda"] as const;

export interface Diagnosis {
  readonly name: string;
  /** Null: not known here. */
  readonly ok: boolean | null;
  readonly text: string;
  /** For programs, with --json. */
  readonly fields: Readonly<Record<string, unknown>>;
}

type Check = () => Promise<Omit<Diagnosis, "name">>;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** In order: what cannot fail first, devices last, since a driver may end the process. */
const checks: readonly (readonly [name: string, check: Check])[] = [
  ["versions", async () => ({ ok: newEnough(process.versions.node), ...versions() })],
  ["machine", async () => machine()],
  ["memory", async () => memory()],
  ["limits", limits],
  ["disk", () => disk(process.cwd(), "here")],
  ["temporary folder", () => disk(tmpdir(), "for temporary files")],
  ["pictures", pictures],
  ...devices.map((device) => [`device ${device}`, () => onDevice(device)] as const),
];

function newEnough(node: string): boolean {
  const [major, minor] = node.split(".").map(Number);
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
}

function versions(): Omit<Diagnosis, "name" | "ok"> {
  const { node, v8 } = process.versions;
  const onnxruntime = packageVersion("onnxruntime-node");
  const text = `fewstep ${version}, Node ${node}, onnxruntime-node ${onnxruntime ?? "is not installed"}${newEnough(node) ? "" : `; Node ${OLDEST_NODE.join(".")} or newer is needed`}`;
  return { text, fields: { fewstep: version, node, v8, onnxruntime: onnxruntime ?? null } };
}

/** From package.json, so that a library that cannot be loaded has a version too. */
function packageVersion(name: string): string | undefined {
  try {
    return (createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version;
  } catch {
    return undefined;
  }
}

function machine(): Omit<Diagnosis, "name"> {
  const { platform, arch } = process;
  const model = cpus()[0]?.model.trim() ?? "";
  const cores = availableParallelism();
  const text = `${platform} ${release()} on ${arch}, ${cores} core${cores === 1 ? "" : "s"}${model ? ` (${model})` : ""}`;
  return { ok: true, text, fields: { platform, release: release(), arch, cores, processor: model } };
}

function memory(): Omit<Diagnosis, "name"> {
  const { free, total } = availableMemory();
  const enough = free > 1e9;
  const text = `${gigabytes(free)} of ${gigabytes(total)} are free${enough ? "" : "; small trainings need 1 GB"}`;
  return { ok: enough, text, fields: { free, total } };
}

/** Of the process, where the system tells: Linux. */
async function limits(): Promise<Omit<Diagnosis, "name">> {
  const text = await readFile("/proc/self/limits", "utf8").catch(() => undefined);
  if (text === undefined) return { ok: null, text: "not told by this system", fields: {} };
  const limit = (name: string): number | null => {
    const found = text.match(new RegExp(`^${name} +(\\S+)`, "m"))?.[1];
    return found === undefined || found === "unlimited" ? null : Number(found);
  };
  const [files, space, size] = [limit("Max open files"), limit("Max address space"), limit("Max file size")];
  const problems = [
    files !== null && files < 256 && "ulimit -n should be 256 or more",
    space !== null && space < 4e9 && "ulimit -v should be 4 GB or more",
    size !== null && size < 1e9 && "ulimit -f ends files that are larger",
  ].filter((problem) => problem !== false);
  const said = `${files ?? "any number of"} open files, ${space === null ? "any" : gigabytes(space)} address space, files of ${size === null ? "any size" : gigabytes(size)}`;
  const fields = { openFiles: files, addressSpace: space, fileSize: size };
  return { ok: problems.length === 0, text: [said, ...problems].join("; "), fields };
}

async function disk(folder: string, what: string): Promise<Omit<Diagnosis, "name">> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const enough = free > 1e8;
  const text = `${gigabytes(free)} are free ${what} (${resolve(folder)})${enough ? "" : "; a run needs more than 0.1 GB"}`;
  return { ok: enough, text, fields: { folder: resolve(folder), free } };
}

async function pictures(): Promise<Omit<Diagnosis, "name">> {
  const { default: sharp } = await import("sharp");
  const { sharp: own, vips } = sharp.versions;
  return { ok: true, text: `sharp ${own} with libvips ${vips}`, fields: { sharp: own, vips } };
}

/** Adds two numbers there, and asks for half precision. */
async function onDevice(device: (typeof devices)[number]): Promise<Omit<Diagnosis, "name">> {
  const runtime = nodeRuntime({ device, threads: 1 });
  const program = await runtime.compile({ y: add(input("x", [1]), 1) });
  try {
    const { y } = await program.run({ x: Float32Array.of(1) });
    if (y.data[0] !== 2) throw new Error(`1 + 1 is ${y.data[0]} there.`);
    const half = await runtime.supports("float16").then(
      () => true,
      () => false,
    );
    const text = `works${half ? ", also with --precision float16" : "; it has no half precision"}`;
    return { ok: true, text, fields: { float32: true, float16: half } };
  } finally {
    await program.dispose();
  }
}

/** What is missing is a failure only where fewstep needs it: devices but the CPU are as the machine has them. */
const optional = (name: string): boolean => name === "device webgpu" || name === "device cuda";

/** Says every finding as it is made, and returns them. Throws an Error that names what fewstep cannot do without. */
export async function examine({ report }: Pick<Context, "report">): Promise<Diagnosis[]> {
  const found: Diagnosis[] = [];
  const width = Math.max(...checks.map(([name]) => name.length));
  for (const [name, check] of checks) {
    const diagnosis: Diagnosis = {
      name,
      ...(await check().catch((error: unknown) => ({ ok: false, text: sentence(error), fields: {} }))),
    };
    found.push(diagnosis);
    const mark = diagnosis.ok === null ? "?" : diagnosis.ok ? "ok" : optional(name) ? "–" : "NO";
    report.event({ kind: "check", name, ok: diagnosis.ok, text: diagnosis.text, ...diagnosis.fields });
    report.result(`${mark.padEnd(2)}  ${name.padEnd(width)}  ${diagnosis.text}`);
  }
  const broken = found.filter(({ name, ok }) => ok === false && !optional(name)).map(({ name }) => name);
  report.event({ kind: "done", ok: broken.length === 0, broken });
  if (broken.length > 0) throw new Error(`fewstep cannot work well here: ${broken.join(", ")} (see above).`);
  return found;
}

/** Whether a model is one for `generate`, or nothing that is known. */
async function hasPrompts(path: string): Promise<boolean> {
  if (path.startsWith("exact:")) return false;
  const found = await locate(path).catch(() => undefined);
  return !found || (found.kind === "diffusers" && (await isTextFolder(path)));
}

/** Throws UsageError for options that only pictures from prompts have. */
function withoutPictures(o: DoctorOptions & { readonly model: string }) {
  const { model, steps, batch, guidance, safety: _, tiling, ...others } = o;
  const given = Object.keys(others).filter((key) => others[key as keyof typeof others] !== undefined);
  const idle = [...given, ...(tiling ? ["tiling"] : [])];
  if (idle.length > 0)
    throw new UsageError(
      `${idle.map((key) => `--${flagName(key)}`).join(" and ")} belong to text-to-image models, and ${model} is none.`,
    );
  return { model, steps, batch, guidance };
}

/** Says what a model needs as it is found. Throws an Error that names the limit that would be hit. */
export async function examineModel(
  o: DoctorOptions & { readonly model: string },
  context: Context,
): Promise<Finding[]> {
  const found: Finding[] = [];
  const findings = (await hasPrompts(o.model))
    ? preflight({ ...o, noise: undefined }, context)
    : preflightModel(withoutPictures(o), context);
  for await (const finding of findings) {
    found.push(finding);
    const { name, ok, text, fields } = finding;
    context.report.event({ kind: "check", name, ok, text, ...fields });
    context.report.result(`${ok === null ? "  " : ok ? "ok" : "NO"}  ${name.padEnd(13)}  ${text}`);
  }
  const broken = found.filter(({ ok }) => ok === false).map(({ name }) => name);
  context.report.event({ kind: "done", ok: broken.length === 0, broken });
  if (broken.length > 0) throw new Error(`${o.model} would fail here: ${broken.join(", ")} (see above).`);
  return found;
}

export const doctorCommand = command({
  name: "doctor",
  summary: "Say what this machine can do, or what a model needs of it.",
  positional: ["model"],
  options: doctorOptions,
  examples: [
    { does: "What this machine can do:", line: "doctor" },
    {
      does: "What a model needs before it is loaded:",
      line: "doctor stable-diffusion-v1-5 --steps 4 --width 512 --height 512",
    },
  ],
  standalone: true,
  run: ({ model, ...o }, context: Context) =>
    model === undefined ? examine(context) : examineModel({ ...o, model }, context),
});
