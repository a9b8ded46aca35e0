// The pretrained MNIST teachers, saved by diffusers: eps at single timesteps, and whole DDIM trajectories.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { nullLabel } from "../../src/condition.ts";
import { coefficients, eps } from "../../src/core/prediction.ts";
import { type Schedule, table } from "../../src/core/table.ts";
import { floatsOf, type StoredTensor } from "../../src/data/safetensors.ts";
import { add, input, mul, sub } from "../../src/graph/index.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { checkNames, countParams, fromConstants } from "../../src/nn/params.ts";
import { toParams } from "../../src/nn/weights.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenFile, goldenOf, largestDifference, readJson, reportCases, tensorsIn } from "./folders.ts";

interface TeacherGolden {
  readonly kind: string;
  readonly cases: readonly { timestep: number; input: string; labels: string; output: string }[];
  readonly sampling: readonly {
    steps: number;
    guidance: number;
    init: string;
    labels: string;
    timesteps: readonly number[];
    output: string;
  }[];
}

const root = resolve(import.meta.dirname, "../..");
const kind = "unet2d-teacher";
const runtime = nodeRuntime();
let ran = 0;

/** Golden files of teachers; ../shared/teachers counts as golden unless FEWSTEP_GOLDEN is given. */
function teacherFiles(): GoldenFile<TeacherGolden>[] {
  const shared = resolve(root, "../shared/teachers");
  const more = process.env.FEWSTEP_GOLDEN || !existsSync(shared) ? [] : readdirSync(shared);
  return [
    ...goldenOf<TeacherGolden>(kind),
    ...more.flatMap((name) => {
      const folder = join(shared, name);
      const file = join(folder, "golden.json");
      if (!existsSync(file)) return [];
      const golden = readJson(file) as TeacherGolden;
      return golden.kind === kind ? [{ kind, name: `teachers/${name}/golden.json`, file, folder, golden }] : [];
    }),
  ];
}

/** A folder without weights of its own is about the teacher that the repository carries. */
const modelOf = (folder: string) => (existsSync(join(folder, "unet")) ? folder : join(root, "assets/mnist-teacher"));
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));

const files = teacherFiles();
for (const { name, folder, golden } of files) {
  const tensors = tensorsIn(join(folder, "golden.safetensors"));
  const model = modelOf(folder);
  const weights = toParams(tensorsIn(join(model, "unet/diffusion_pytorch_model.safetensors")));
  const network = buildNetwork({ family: "unet2d", config: json(model, "unet/config.json") });

  describe(`${kind}: ${name}`, () => {
    it("has exactly the parameters of the network", () => {
      const spec = collect(network);
      checkNames(spec, weights.keys());
      expect(countParams(spec)).toBe([...weights.values()].reduce((n, { data }) => n + data.length, 0));
      for (const { name, shape } of spec) expect(weights.get(name)?.shape, name).toEqual(shape);
    });

    for (const one of golden.cases)
      it(`eps at timestep ${one.timestep}`, async () => {
        const teacher = await compile(1);
        const have = await teacher.eps(floatsOf(tensors, one.input), one.timestep, labelsOf(tensors, one.labels));
        const late = await teacher.eps(floatsOf(tensors, one.input), one.timestep + 1, labelsOf(tensors, one.labels));
        await teacher.dispose();
        const want = floatsOf(tensors, one.output);
        expect(relativeRms(have, want)).toBeLessThanOrEqual(1e-5);
        expect(relativeRms(late, want), "one timestep off must be seen").toBeGreaterThan(1e-4);
        ran++;
      });

    for (const one of golden.sampling)
      it(`DDIM, ${one.steps} steps, guidance ${one.guidance}`, async () => {
        const teacher = await compile(one.guidance);
        let x = floatsOf(tensors, one.init).slice();
        for (const [k, timestep] of one.timesteps.entries()) {
          const e = await teacher.eps(x, timestep, labelsOf(tensors, one.labels));
          const next = one.timesteps[k + 1] ?? -1; // set_alpha_to_one false: the last step ends at the first entry
          const [a, b] = coefficients(form, form.time(timestep), eps, form.at(form.time(next)));
          x = x.map((value, i) => a * value + b * e[i]);
        }
        await teacher.dispose();
        const want = floatsOf(tensors, one.output);
        // Largest difference over rms; 1e-5 was seen.
        expect(largestDifference(x, want) / rms(want)).toBeLessThanOrEqual(1e-4);
        ran++;
      });
  });

  const scheduler = json(model, "scheduler/scheduler_config.json");
  const form = table({
    schedule: scheduler.beta_schedule as Schedule,
    betaStart: scheduler.beta_start,
    betaEnd: scheduler.beta_end,
    steps: scheduler.num_train_timesteps,
  });

  /** The teacher at a guidance scale: uncond + g (cond - uncond), where the last label means "no label". */
  async function compile(guidance: number) {
    const shape = [10, ...network.sampleShape];
    const x = input("x", shape);
    const tau = input("tau", [10]);
    const p = fromConstants(weights);
    const cond = network.apply(p, x, tau, { labels: input("labels", [10], "int64") });
    const none = input("none", [10], "int64");
    const uncond = guidance === 1 ? cond : network.apply(p, x, tau, { labels: none });
    const guided = guidance === 1 ? cond : add(uncond, mul(sub(cond, uncond), guidance));
    const program = await runtime.compile({ eps: guided });
    const nothing = new BigInt64Array(10).fill(BigInt(nullLabel(network.conditions)!));
    return {
      dispose: program.dispose,
      async eps(x: Float32Array, timestep: number, labels: BigInt64Array): Promise<Float32Array> {
        const feeds = { x, tau: new Float32Array(10).fill(timestep), labels };
        const result = await program.run(guidance === 1 ? feeds : { ...feeds, none: nothing });
        return result.eps.data as Float32Array;
      },
    };
  }
}

it(`${kind}: ran every case that exists`, () => reportCases(kind, "teacher", files, ran));

afterAll(() => expect(runtime.open()).toBe(0));

const labelsOf = (tensors: ReadonlyMap<string, StoredTensor>, name: string) => tensors.get(name)!.data as BigInt64Array;
const rms = (x: Float32Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length);
const relativeRms = (have: Float32Array, want: Float32Array): number =>
  rms(have.map((v, i) => v - want[i])) / rms(want);
