// npx tsx scripts/makeStudioModels.ts [--data checkerboard,moons,digits] [--threads 1]: the models that the studio comes with,
// in studio/static/models. A teacher in the plane and its two students, with the presets for small data; and the demo's
// student of digits. The weights are stored in half precision, and the students learn from the teacher as it is stored.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { demoRecipe } from "../src/cli/demoRecipe.ts";
import { type StoredTensor, writeSafetensors } from "../src/data/safetensors.ts";
import { accelerateTeacher } from "../src/node/accelerate.ts";
import { accelerateOptions } from "../src/node/accelerateOptions.ts";
import { makeFolder, writeAtomic } from "../src/node/atomic.ts";
import { quietContext } from "../src/node/context.ts";
import { readSafetensors } from "../src/node/files.ts";
import { trainOptions, trainTeacher } from "../src/node/train.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string", default: "checkerboard,moons,8gaussians,digits" },
    threads: { type: "string", default: "1" },
  },
});
const folder = "studio/static/models";
const context = quietContext({ runtime: nodeRuntime({ threads: Number(values.threads) }), seed: 0 });
const batch = 256;
// As in bench/methods2d.ts, narrower: the page loads these weights.
const teacherRecipe = {
  form: "cosine",
  prediction: "v",
  width: 64,
  depth: 3,
  lr: 2e-3,
  ema: 0.99,
  images: 3200 * batch,
  batch,
  warmup: 50,
  previewEvery: 0,
};

const digits = { ...demoRecipe, teacher: "assets/mnist-teacher", previewEvery: 0 };

/** The model of a run, its weights in half precision. */
async function keep(run: string, to: string): Promise<void> {
  await makeFolder(to);
  const { tensors, metadata } = await readSafetensors(join(run, "model", "model.safetensors"));
  const half = new Map(
    [...tensors].map(([name, t]: [string, StoredTensor]) => [name, { ...t, dtype: "F16" as const }]),
  );
  await writeAtomic(join(to, "model.safetensors"), writeSafetensors(half, metadata));
  await writeAtomic(join(to, "card.json"), await readFile(join(run, "model", "card.json")));
}

const scratch = await mkdtemp(join(tmpdir(), "fewstep-studio-"));
try {
  for (const name of values.data.split(",")) {
    if (name === "digits") {
      const made = await accelerateTeacher(accelerateOptions.parse({ ...digits, out: scratch }), context);
      if (!made) throw new Error("No student was trained.");
      await keep(made.run.path, join(folder, "digits"));
      continue;
    }
    const data = `toy:${name}`;
    const at = (who: string) => join(folder, name, who);
    const trained = await trainTeacher(trainOptions.parse({ ...teacherRecipe, data, out: scratch }), context);
    if (!trained) throw new Error("No teacher was trained.");
    await keep(trained.run.path, at("teacher"));
    for (const method of ["perflow", "rectified-diffusion"]) {
      const options = { teacher: at("teacher"), method, preset: "small", data, previewEvery: 0, out: scratch };
      const made = await accelerateTeacher(accelerateOptions.parse(options), context);
      if (!made) throw new Error("No student was trained.");
      await keep(made.run.path, at(method));
    }
    process.stderr.write(`${name} is done.\n`);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
