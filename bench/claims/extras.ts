// What two claims need beside plans: shuffled pairs (C12), and ideal predictors on matched noise levels (C11).
import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { logSnr } from "../../src/core/index.ts";
import { fromConstants } from "../../src/nn/params.ts";
import type { Compared } from "../../src/node/compare.ts";
import type { Context } from "../../src/node/context.ts";
import { readJson, readSafetensors, writeJson } from "../../src/node/files.ts";
import { loadModel } from "../../src/node/models.ts";
import { columnsOf, writeShard } from "../../src/node/pairShards.ts";
import { fold, key, permutation } from "../../src/random.ts";
import { sampleAll, sampler } from "../../src/run/sample.ts";
import { solverByName } from "../../src/solvers/index.ts";

/** For each seed a folder with the pairs that RD learned from, their noise permuted: the marginals stay. */
export async function shuffledPairs(c: Compared, runs: string): Promise<readonly string[]> {
  const folders: string[] = [];
  for (const [i, seed] of c.plan.seeds.entries()) {
    const teacher = await loadModel(c.results[0].seeds[i].path);
    const folder = join(runs, `shuffled-${seed}`);
    folders.push(folder);
    if (existsSync(join(folder, "done.json"))) continue;
    const source = await pairsOf(runs, teacher.hash, seed);
    const shards = (await readdir(source)).filter((name) => name.endsWith(".safetensors")).sort();
    const read = await Promise.all(shards.map((name) => readSafetensors(join(source, name))));
    const column = (shard: number, name: string) => read[shard].tensors.get(name)?.data as Float32Array;
    const columns = columnsOf(teacher.model);
    const size = columns.x.size;
    const all = read.flatMap((_, k) => Array.from(column(k, "noise")));
    const order = permutation(fold(key(seed), "shuffled"), all.length / size);
    await mkdir(folder, { recursive: true });
    let at = 0;
    for (const [k, name] of shards.entries()) {
      const noise = new Float32Array(column(k, "noise").length);
      for (let j = 0; j < noise.length / size; j++, at++)
        for (let d = 0; d < size; d++) noise[j * size + d] = all[order[at] * size + d];
      await writeShard(join(folder, name), { x: column(k, "x"), noise, cond: {} }, columns);
    }
    await writeJson(join(folder, "pairs.json"), await readJson(join(source, "pairs.json")));
    await writeJson(join(folder, "done.json"), {});
  }
  return folders;
}

async function pairsOf(runs: string, teacher: string, seed: number): Promise<string> {
  for (const name of await readdir(runs)) {
    if (!name.startsWith("pairs-")) continue;
    const stored = Object(await readJson(join(runs, name, "pairs.json"))) as Record<string, unknown>;
    if (stored.teacher === teacher && stored.seed === seed && stored.steps === 25) return join(runs, name);
  }
  throw new Error(`There are no pairs of the teacher of seed ${seed}.`);
}

/**
 * The largest difference of x/alpha between forms, where the exact denoiser is followed from the same noise over the same
 * levels sigma/alpha.
 */
export async function matchedForms(context: Context): Promise<number> {
  const levels = Array.from({ length: 33 }, (_, k) => 20 * (0.02 / 20) ** (k / 32));
  const ends: Float32Array[] = [];
  for (const form of ["vp", "subvp", "ve", "linear"]) {
    const one = await loadModel(`exact:toy:moons@1024?width=0.05&form=${form}&prediction=x0`);
    const times = levels.map((r) => one.model.form.tAt(-Math.log(r)));
    const ready = await sampler(one.model, fromConstants(one.params), context.runtime, 500);
    const { x } = await sampleAll(ready, { n: 500, seed: 0, solver: solverByName("ddim"), times });
    await ready.dispose();
    const [alpha] = one.model.form.at(times[times.length - 1]);
    if (Math.abs(logSnr(one.model.form, times[0]) + Math.log(levels[0])) > 1e-6)
      throw new Error(`${form} does not reach the noise level ${levels[0]}.`);
    ends.push(x.map((v) => v / alpha));
  }
  let most = 0;
  for (const other of ends.slice(1))
    other.forEach((v, i) => {
      most = Math.max(most, Math.abs(v - ends[0][i]));
    });
  return most;
}
