// Seconds and memory of Stable Diffusion at its full size, beside PyTorch where a Python with torch and diffusers is given:
// npx tsx bench/sdPicture.ts <folder> [--python <python>] [--threads 2] [--size 512] [--steps 4] [--runs 3] [--out result.json]
// The folder with random weights is made by: npx tsx scripts/makeSdFolders.ts sd15 <folder> F32 1 whole
// Evaluations of the U-Net by ONNX Runtime and PyTorch (float32, bfloat16) take turns, so that a loaded machine is as unfair to all;
// the ratio is of the fastest runs. Every measurement has a process of its own: peaks are of processes.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pipeline } from "../src/diffusers/pipeline.ts";
import { loadPipeline } from "../src/diffusers/pipelineOutline.ts";
import { input } from "../src/graph/index.ts";
import { unet2dCondition } from "../src/nn/index.ts";
import { loader, nothingMerged, outlineGenerator } from "../src/node/generate/model.ts";
import { silent } from "../src/node/reporter.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string" },
    threads: { type: "string", default: "2" },
    size: { type: "string", default: "512" },
    steps: { type: "string", default: "4" },
    runs: { type: "string", default: "3" },
    out: { type: "string" },
    part: { type: "string" },
    guidance: { type: "string", default: "1" },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("Usage: npx tsx bench/sdPicture.ts <folder> [--python <python>] [--size 512] [--steps 4]");
const [threads, size, steps, runs] = [values.threads, values.size, values.steps, values.runs].map(Number);

interface Answer {
  /** Seconds until the first evaluation can begin. */
  readonly ready?: number;
  /** Of each evaluation after the first, or of the picture. */
  readonly seconds: readonly number[];
  /** GiB, mapped files included. */
  readonly peak: number;
}

const peak = () => process.resourceUsage().maxRSS / 2 ** 20;
const since = (begin: number) => (performance.now() - begin) / 1000;

async function opened() {
  const outline = await outlineGenerator({
    model: folder,
    variant: undefined,
    base: undefined,
    safety: false,
    vae: undefined,
  });
  return loadPipeline(outline, loader(nothingMerged, { report: silent }));
}

async function unet(): Promise<Answer> {
  const begin = performance.now();
  const { unet } = await opened();
  const latent = size / 8;
  const y = unet2dCondition(unet.config, unet.params, input("x", [1, 4, latent, latent]), input("tau", [1]), {
    context: input("context", [1, 77, unet.config.cross_attention_dim]),
  });
  const program = await nodeRuntime({ threads }).compile({ y });
  const ready = since(begin);
  const feeds = {
    x: Float32Array.from({ length: 4 * latent ** 2 }, (_, i) => Math.sin(i)),
    tau: Float32Array.of(500),
    context: Float32Array.from({ length: 77 * unet.config.cross_attention_dim }, (_, i) => Math.cos(i)),
  };
  const seconds: number[] = [];
  for (let k = 0; k < 2; k++) {
    const started = performance.now();
    const out = (await program.run(feeds)).y.data as Float32Array;
    if (!out.every(Number.isFinite)) throw new Error("The U-Net gave what is no number.");
    if (k > 0) seconds.push(since(started));
  }
  return { ready, seconds, peak: peak() };
}

async function picture(): Promise<Answer> {
  const begin = performance.now();
  const running = pipeline(await opened(), nodeRuntime({ threads }));
  await running.generate({
    ...{ prompt: "a lighthouse at night", steps, guidance: Number(values.guidance), seed: 0 },
    ...{ width: size, height: size, release: true },
    onProgress: (event) => process.stderr.write(`${since(begin).toFixed(1)} s: ${event.stage}\n`),
  });
  return { seconds: [since(begin)], peak: peak() };
}

/** This script again, or PyTorch's, in a process of its own. */
const own = (part: string, ...more: string[]): Answer =>
  JSON.parse(
    execFileSync(process.execPath, [
      ...["--import", "tsx", import.meta.filename, folder, "--part", part, "--threads", `${threads}`],
      ...["--size", `${size}`, "--steps", `${steps}`, ...more],
    ]).toString(),
  );
const torch = (dtype: "float32" | "bfloat16"): Answer =>
  JSON.parse(
    execFileSync(values.python!, [
      fileURLToPath(new URL("sd_reference.py", import.meta.url)),
      ...[folder, dtype, `${threads}`, `${size / 8}`],
    ]).toString(),
  );

if (values.part === "unet" || values.part === "picture")
  console.log(JSON.stringify(await (values.part === "unet" ? unet() : picture())));
else {
  const kinds: Record<string, () => Answer> = {
    fewstep: () => own("unet"),
    ...(values.python === undefined ? {} : { torch32: () => torch("float32"), torch16: () => torch("bfloat16") }),
  };
  const found: Record<string, Answer[]> = {};
  for (let k = 0; k < runs; k++)
    for (const [name, measure] of Object.entries(kinds)) {
      found[name] = [...(found[name] ?? []), measure()];
      console.error(name, JSON.stringify(found[name].at(-1)), `load ${loadavg()[0].toFixed(1)}`);
    }
  const fastest = (name: string) => Math.min(...found[name].flatMap(({ seconds }) => seconds));
  const ratios = Object.fromEntries(
    Object.keys(found).map((name) => [`fewstep / ${name}`, Number((fastest("fewstep") / fastest(name)).toFixed(3))]),
  );
  const pictures = { plain: own("picture"), guided: own("picture", "--guidance", "7.5") };
  const result = {
    folder,
    size,
    steps,
    threads,
    cores: availableParallelism(),
    load: loadavg(),
    unet: found,
    ratios,
    pictures,
  };
  console.log(JSON.stringify(result, null, 2));
  if (values.out) writeFileSync(values.out, `${JSON.stringify(result, null, 2)}\n`);
}
