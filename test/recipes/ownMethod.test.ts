// Adding a method is one file. This one has a method that the project does not: knowledge distillation (Luhman & Luhman
// 2021), the student's one step onto the teacher's many, and trains it.

import { afterAll, expect, it } from "vitest";
import { z } from "zod";
import { linear, uniformGrid } from "../../src/core/index.ts";
import { stopGradient } from "../../src/graph/index.ts";
import { predict } from "../../src/model.ts";
import { fromConstants, unflatten } from "../../src/nn/params.ts";
import { meanOfSample } from "../../src/objectives/regress.ts";
import { dataRow, read } from "../../src/pair.ts";
import { fold, key, randint } from "../../src/random.ts";
import { distanceOf, evenly, option, passes, stageOf, student } from "../../src/recipes/parts.ts";
import { recipe, STUDENT, type Start } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import { endsOf } from "../../src/run/evaluate.ts";
import { sampler } from "../../src/run/sample.ts";
import { freshState, keptOf, type TrainState, train } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { solve } from "../../src/solve.ts";
import { ddim } from "../../src/solvers/index.ts";
import { tinyModel } from "../run/helpers.ts";

const distillation = recipe({
  name: "distillation",
  summary: "One step of the student ends where many of the teacher do.",
  paper: {
    cite: "Luhman & Luhman 2021, Knowledge Distillation in Iterative Generative Models for Improved Sampling Speed",
    url: "https://arxiv.org/abs/2101.02388",
    differs: ["the teacher solves online, so there are no stored pairs"],
  },
  options: z.object({
    teacherSteps: option.teacherSteps(8),
    teacherSolver: option.teacherSolver(),
    distance: option.distance("mse"),
    distanceScale: option.distanceScale(),
  }),
  training: { lr: 1e-3, ema: 0.9, images: 1000 },
  needs: () => ["classes"],
  teacherNfe: (o) => ({ perImage: o.teacherSteps * passes(1), perPair: 0 }),
  *stages(teacher, o) {
    const { model, params } = teacher;
    const distance = distanceOf(o);
    const player = student(teacher, (table, draws) => {
      const start = draws.clock("t", () => 1);
      const path = Array.from({ length: o.teacherSteps + 1 }, (_, k) => start.at((t) => t - k / o.teacherSteps));
      const noise = draws.normal("noise");
      const cond = draws.cond("full");
      const end = stopGradient(solve(model, params, noise, path, cond, o.teacherSolver));
      const found = read(predict(model, table(STUDENT), noise, start, cond), dataRow);
      return meanOfSample(distance(draws.note("value", found), end));
    });
    const source = { conditions: "" };
    yield stageOf(teacher, { name: "distillation", model, players: [player], source, sampler: evenly([1]) });
  },
});

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const teacher: Start = startOf({
  ...tinyModel(linear(), undefined, 3),
  timeInput: { scale: 1000, offset: 0 },
});

/** Where samples end, with these weights. */
async function ends(theta: Float32Array, steps: number): Promise<Float32Array> {
  const ready = await sampler(teacher.model, fromConstants(unflatten(teacher.spec, theta)), runtime, 64);
  const found = await endsOf(ready, { n: 256, seed: 3, solver: ddim(), times: uniformGrid(steps) });
  await ready.dispose();
  return found;
}
const apart = (a: Float32Array, b: Float32Array) =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / a.length);

it("a method of one's own trains, and its student does in one step what the teacher does in eight", async () => {
  const options = distillation.options.parse({});
  expect(options).toEqual({ teacherSteps: 8, teacherSolver: "ddim", distance: "mse", distanceScale: 1e-3 });
  expect(distillation.teacherNfe(options)).toEqual({ perImage: 8, perPair: 0 });
  const { value: stage } = distillation.stages(teacher, options, key(0)).next();
  if (!stage) throw new Error("There is no stage.");
  const batch = 32;
  const data = (step: number) => ({ labels: BigInt64Array.from(randint(fold(key(9), step), batch, 3), BigInt) });
  const { lr, ema } = distillation.training;
  const losses: number[] = [];
  let end: TrainState | undefined;
  for await (const event of train(stage, data, runtime, freshState(stage), {
    batch,
    steps: 120,
    rate: { kind: "cosine", peak: 10 * lr, warmup: 10, final: 0.05 },
    ema,
    clip: 1,
    dropLabels: 0,
    seed: 1,
  })) {
    if (event.kind === "step") losses.push(event.loss);
    end = event.state ?? end;
  }
  if (!end) throw new Error("The run ended without a state.");
  const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;
  const [first, last] = [mean(losses.slice(0, 10)), mean(losses.slice(-10))];
  const many = await ends(teacher.theta, 8);
  const [before, after] = [apart(await ends(teacher.theta, 1), many), apart(await ends(keptOf(end), 1), many)];
  console.log(
    `losses ${first.toExponential(1)} to ${last.toExponential(1)}; ends apart by ${before.toFixed(4)}, then ${after.toFixed(4)}`,
  );
  expect(last).toBeLessThan(first / 10);
  expect(after).toBeLessThan(before / 3);
});
