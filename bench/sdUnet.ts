// Seconds and memory of a Stable-Diffusion-sized U-Net: npx tsx bench/sdUnet.ts <folder> [external|fed|shared|packed] [latent size] [extended|all]
// external: weights from the user's file. fed: weights as inputs of every run. shared: two programs over one file.
// packed: the same with copies of matrices in the order that ONNX Runtime would choose.
// One way at a time, for the peak is the process's. Folders of this size are made by scripts/makeSdFolders.ts.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { unetParameters } from "../src/diffusers/unetParameters.ts";
import { checkWeights, modernIndex, openWeights, readParams } from "../src/diffusers/weights.ts";
import { input, type Tensor } from "../src/graph/index.ts";
import { fromTensors, type Params, readUNet2DConditionConfig, unet2dCondition } from "../src/nn/index.ts";
import { externalParams } from "../src/node/externalWeights.ts";
import { readJson } from "../src/node/files.ts";
import { folderSource } from "../src/node/folderSource.ts";
import type { Feed } from "../src/runtime/index.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const [folder, way = "external", latents = "64", optimization = "extended"] = process.argv.slice(2);
if (!folder)
  throw new Error("Usage: npx tsx bench/sdUnet.ts <folder> [external|fed|shared] [latent size] [extended|all]");
const size = Number(latents);
const config = readUNet2DConditionConfig(await readJson(join(folder, "unet/config.json")));
const large = config.addition_embed_type !== null;

const started = { wall: performance.now(), cpu: process.cpuUsage() };
function lap(what: string): void {
  const { user, system } = process.cpuUsage(started.cpu);
  const wall = (performance.now() - started.wall) / 1000;
  const now = process.memoryUsage().rss / 2 ** 30;
  // Memory of this process alone and its share of what others map too: files mapped twice count twice in the other number.
  const rollup = existsSync("/proc/self/smaps_rollup") ? readFileSync("/proc/self/smaps_rollup", "utf8") : "";
  const kib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? Number.NaN);
  const [own, fromFiles] = [kib("Pss_Anon") / 2 ** 20, kib("Pss_File") / 2 ** 20];
  const peak = process.resourceUsage().maxRSS / 2 ** 20;
  console.log(
    `${what.padEnd(28)} ${wall.toFixed(1)} s, CPU ${((user + system) / 1e6).toFixed(1)} s; ${now.toFixed(2)} GiB now (own ${own.toFixed(2)}, of files ${fromFiles.toFixed(2)}), ${peak.toFixed(2)} GiB peak`,
  );
  Object.assign(started, { wall: performance.now(), cpu: process.cpuUsage() });
}

const feeds: Record<string, Feed> = {};
const given = (name: string, shape: readonly number[], value: (i: number) => number): Tensor => {
  feeds[name] = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i));
  return input(name, shape);
};
const output = (p: Params, tau: number): Tensor =>
  unet2dCondition(
    config,
    p,
    given("sample", [1, 4, size, size], Math.sin),
    given(`tau`, [1], () => tau),
    {
      context: given("context", [1, 77, config.cross_attention_dim], Math.cos),
      ...(large
        ? { textEmbeds: given("pooled", [1, 1280], Math.sin), timeIds: given("sizes", [1, 6], () => 8 * size) }
        : {}),
    },
  );

const prepack = way === "packed";
const runtime = nodeRuntime();
const index = modernIndex(await openWeights(folderSource(folder), "unet"));
const spec = unetParameters(config);
checkWeights(spec, index);
lap("header read and checked");
let params: Params;
if (way === "fed") {
  const arrays = await readParams(index);
  for (const [name, { data }] of arrays) feeds[name] = data;
  params = fromTensors(new Map(spec.map(({ name, shape }) => [name, input(name, shape)])));
} else params = (await externalParams(index)).params;
lap("weights found");
if (optimization !== "extended" && optimization !== "all") throw new Error("Optimization is extended or all.");
const options = { optimization, ...(way === "fed" ? {} : { prepack }) } as const;
const program = await runtime.compile({ y: output(params, 500) }, options);
lap("compiled");
const first = (await program.run(feeds)).y.data as Float32Array;
lap("first evaluation");
const again = (await program.run(feeds)).y.data as Float32Array;
lap("second evaluation");
if (!first.every((v, i) => Number.isFinite(v) && v === again[i]))
  throw new Error("Two runs differ, or are not finite.");
console.log(`sum of squares ${first.reduce((sum, v) => sum + v * v, 0)}`);
if (way === "shared" || way === "packed") {
  // Another program over the same weights: what guidance or a second image size needs.
  const other = await runtime.compile({ z: output(params, 500) }, options);
  lap("second program compiled");
  await other.run(feeds);
  lap("second program run");
  await other.dispose();
}
await program.dispose();
