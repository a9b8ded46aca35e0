// A recipe of one's own: the student says at once where the teacher would arrive. Run: npx tsx examples/ownRecipe.ts
import { accelerate, train } from "fewstep";
import { uniform } from "fewstep/core";
import { stopGradient } from "fewstep/graph";
import {
  dataRow,
  distance,
  evenly,
  independent,
  option,
  read,
  recipe,
  regress,
  STUDENT,
  solve,
  stageOf,
  student,
  z,
} from "fewstep/recipes";

export const arrival = recipe({
  name: "arrival",
  summary: "From any time, predict the data that the teacher's remaining steps lead to.",
  paper: { cite: "Luhman & Luhman 2021, Knowledge Distillation", url: "https://arxiv.org/abs/2101.02388", differs: [] },
  options: z.object({
    teacherSteps: option.teacherSteps(8),
    scale: z.number().positive().default(0.03).describe("The error at which the distance bends."),
  }),
  training: { lr: 1e-3, ema: 0.99, images: 128_000 },
  needs: () => ["data"],
  teacherNfe: (o) => ({ perImage: o.teacherSteps, perPair: 0 }),
  *stages(teacher, o) {
    const { model, params } = teacher;
    const { form } = model;
    const loss = regress(model, { compare: dataRow, distance: distance({ kind: "pseudo-huber", c: o.scale }) });
    const player = student(teacher, (table, draws) => {
      const t = draws.clock("t", uniform({ from: form.tMin, to: form.tMax }));
      const cond = draws.cond("dropped");
      const noisy = read(independent(draws, t), form.at);
      // The teacher's way from t to the data, in even steps.
      const path = Array.from({ length: o.teacherSteps + 1 }, (_, k) =>
        t.at((time) => time * (1 - k / o.teacherSteps)),
      );
      const end = stopGradient(solve(model, params, noisy, path, cond));
      return loss(table(STUDENT), { clock: t, a: noisy, rowA: form.at, b: end, rowB: dataRow }, cond, draws);
    });
    yield stageOf(teacher, {
      name: "arrival",
      model,
      players: [player],
      source: { data: "" },
      sampler: evenly([1, 2]),
    });
  },
});

const data = "toy:moons";
const teacher = await train({ data, form: "cosine", prediction: "v", width: 64, batch: 256, images: 64_000 });
// Its options are typed like those of fewstep's methods, and it has a run folder, a card, checkpoints and --resume like them.
const run = await accelerate(teacher, arrival, { data, teacherSteps: 6, batch: 256, images: 32_000 });
await run.sample({ steps: 1, n: 500 }).save("arrival.png");
