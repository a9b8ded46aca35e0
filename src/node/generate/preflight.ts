// What a text-to-image model needs of this machine, before anything of it is loaded: `fewstep doctor <folder>`.
import { readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { liesReady } from "../../diffusers/externalWeights.ts";
import type { PipelineOutline } from "../../diffusers/pipelineOutline.ts";
import { factorOf } from "../../diffusers/pipelineParts.ts";
import { sizeOf } from "../../graph/index.ts";
import { countParams } from "../../nn/params.ts";
import type { Context } from "../context.ts";
import { cacheFolder } from "../externalWeights.ts";
import { formatSeconds } from "../format.ts";
import { availableMemory, inGigabytes } from "../memory.ts";
import { type StageCost, stageCosts } from "./cost.ts";
import { outlineGenerator } from "./model.ts";
import type { GenerateOptionsGiven } from "./options.ts";
import { checkMultiple, type Size, sizeText } from "./pictures.ts";
import { chooseSampler } from "./sampler.ts";
import { measureSpeed } from "./speed.ts";

export interface Finding {
  readonly name: string;
  /** Null: a fact, neither good nor bad. */
  readonly ok: boolean | null;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type PreflightOptions = Pick<
  GenerateOptionsGiven,
  "model" | "variant" | "base" | "safety" | "vae" | "sampler" | "scheduler" | "prediction" | "windows" | "steps"
> &
  Pick<GenerateOptionsGiven, "guidance" | "noise" | "width" | "height" | "batch" | "tiling">;

/** Yields findings as they are made, of which only the time takes a moment. Throws an Error for a model that does not fit together. */
export async function* preflight(o: PreflightOptions, { runtime }: Pick<Context, "runtime">): AsyncGenerator<Finding> {
  const outline = await outlineGenerator(o);
  const chosen = await chooseSampler(outline.scheduler, o);
  yield model(outline);
  const size = sizeAsked(o, outline);
  const asked = { ...size, batch: o.batch, guidance: chosen.guidance, tiling: o.tiling };
  const costs = stageCosts(outline, asked);
  const what = `${o.batch === 1 ? "a picture" : `${o.batch} pictures at a time`} of ${sizeText(size)}`;
  yield memory(costs, what);
  yield await cache(outline);
  yield await addressSpace(costs);
  yield largest(outline, runtime.device);
  const speed = await measureSpeed(runtime);
  const seconds = ({ convolutions, matrices }: StageCost) =>
    convolutions / speed.convolutions + matrices / speed.matrices;
  const of = (name: string) =>
    costs.filter((cost) => cost.name.startsWith(name)).reduce((sum, c) => sum + seconds(c), 0);
  const [once, each] = [of("text") + of("VAE") + of("safety"), of("U-Net")];
  const total = once + chosen.steps * each;
  yield {
    name: "time",
    ok: null,
    text: `about ${formatSeconds(total)} for ${what} with ${chosen.name}, ${chosen.steps} steps, guidance ${chosen.guidance}: ${each.toPrecision(2)} s an evaluation, ${of("VAE").toPrecision(2)} s the VAE (products and convolutions alone, at the speed of a moment ago on ${runtime.device})`,
    fields: { seconds: total, evaluation: each, vae: of("VAE"), steps: chosen.steps, ...speed },
  };
}

const partsOf = ({ unet, vae, text, safety }: PipelineOutline) => [unet, vae, ...text, ...(safety ? [safety] : [])];

function model(outline: PipelineOutline): Finding {
  const counts = partsOf(outline).map(({ name, spec }) => [name.replace(/^.*[/\\]/, ""), countParams(spec)] as const);
  const text = counts.map(([name, count]) => `${name} ${(count / 1e6).toFixed(count < 1e7 ? 2 : 0)} M`).join(", ");
  return {
    name: "model",
    ok: true,
    text: `all tensors are there and fit: ${text} parameters`,
    fields: { parameters: Object.fromEntries(counts) },
  };
}

function sizeAsked(o: PreflightOptions, { unet, vae }: PipelineOutline): Size {
  const factor = factorOf(vae);
  const side = unet.config.sample_size ?? 64;
  const [h, w] = typeof side === "number" ? [side, side] : side;
  const size = { width: o.width ?? w * factor, height: o.height ?? h * factor };
  checkMultiple(size, factor, "The size (--width and --height)");
  return size;
}

function memory(costs: readonly StageCost[], what: string): Finding {
  const { free, total } = availableMemory();
  const worst = costs.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  const list = costs.map(({ name, bytes }) => `${name} ${inGigabytes(bytes)}`).join(", ");
  const fits = worst.bytes <= free;
  const limit = worst.bytes > total ? `there are ${inGigabytes(total)} in all` : `${inGigabytes(free)} are free`;
  const help = worst.name === "VAE" ? "--tiling needs less" : "a smaller size or --batch needs less";
  return {
    name: "memory",
    ok: fits,
    text: `up to ${inGigabytes(worst.bytes)} for ${what}, one after the other: ${list}${fits ? "" : `; the ${worst.name} does not fit, ${limit}: ${help}`}`,
    fields: { needed: worst.bytes, free, total, stages: costs },
  };
}

/** Weights that are no float32 are widened into a file of the cache. */
async function cache(outline: PipelineOutline): Promise<Finding> {
  const widened = partsOf(outline)
    .flatMap(({ spec, weights }) =>
      spec.filter(({ name }) => {
        const place = weights.tensors.get(name);
        return place !== undefined && !liesReady(place);
      }),
    )
    .reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  const folder = cacheFolder();
  if (widened === 0)
    return { name: "cache", ok: true, text: "not needed: all weights are float32", fields: { widened } };
  const free = await freeAt(folder);
  const ok = free === null ? null : free > widened;
  return {
    name: "cache",
    ok,
    text: `${inGigabytes(widened)} of weights as float32 in ${folder}, once${ok === false ? `, where ${inGigabytes(free ?? 0)} are free: name another folder with FEWSTEP_CACHE` : ""}`,
    fields: { widened, folder, free },
  };
}

/** Of the nearest folder above that is there. */
async function freeAt(folder: string): Promise<number | null> {
  for (let at = folder; ; at = dirname(at)) {
    const found = await statfs(at).catch(() => undefined);
    if (found) return found.bavail * found.bsize;
    if (dirname(at) === at) return null;
  }
}

/** What Node and ONNX Runtime map besides. */
const RESERVED = 3e9;

async function addressSpace(costs: readonly StageCost[]): Promise<Finding> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => undefined);
  const name = "address space";
  const found = limits?.match(/^Max address space +(\S+)/m)?.[1];
  if (found === undefined) return { name, ok: null, text: "not told by this system", fields: {} };
  if (found === "unlimited") return { name, ok: true, text: "any", fields: { limit: null } };
  const needed = Math.max(...costs.map(({ bytes }) => bytes)) + RESERVED;
  const limit = Number(found);
  const fits = limit >= needed;
  return {
    name,
    ok: fits,
    text: `${inGigabytes(limit)}${fits ? "" : `, about ${inGigabytes(needed)} are needed: raise it with ulimit -v unlimited`}`,
    fields: { limit, needed },
  };
}

/** The binding limit that WebGPU guarantees. */
const BINDING = 2 ** 27;

function largest(outline: PipelineOutline, device: string): Finding {
  const all = partsOf(outline).flatMap((part) => part.spec.map((s) => ({ ...s, part: part.name })));
  const most = all.reduce((a, b) => (sizeOf(b.shape) > sizeOf(a.shape) ? b : a));
  const bytes = 4 * sizeOf(most.shape);
  const over = bytes > BINDING;
  const text = `the largest tensor, ${most.name} of ${most.part}, has ${Math.ceil(bytes / 2 ** 20)} MiB`;
  return {
    name: "webgpu",
    ok: over && device === "webgpu" ? false : null,
    text: over
      ? `${text}: an adapter must allow buffers over the 128 MiB that all do`
      : `${text}: under the 128 MiB that all adapters allow`,
    fields: { tensor: most.name, bytes },
  };
}
