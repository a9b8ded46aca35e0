// docs/methods2d.md, from the measurements.
import type { Results } from "./methodRuns.ts";
import type { Measured } from "./methods2d.ts";
import { against, mean, spread, tableOf, thousands } from "./methodTable.ts";

const head = [
  "method",
  "data",
  "steps",
  "student",
  "teacher",
  "ratio",
  "seeds",
  "images, thousands",
  "teacher evaluations, thousands",
  "seconds",
];

/** Largest ratio at the steps that a method is made for. */
const GOAL = 0.2;

/** The table at the steps that a method is made for, and one at further steps. */
export function documentOf({ about, runs }: Results<Measured>): string {
  const { floor = {} } = about as { floor?: Record<string, number> };
  const near = Object.entries(floor).map(([data, d]) => `${d.toFixed(3)} for ${data}`);
  return `# All methods in the plane

Made by \`npm run bench:methods2d\`; the numbers are in [results/methods2d.json](results/methods2d.json).

One teacher per data set and seed (cosine form, v prediction, an MLP of width 96 with three blocks), and of each a student by
every method, with \`--preset small\`. Student and teacher take the same number of network evaluations. The distance is
the sliced Wasserstein distance of 4,096 samples to 16,384 held-out points. Two sets of data are not at 0 from each other:
as many fresh points are at ${near.join(" and ")}, which no model can be expected to fall below.

The goal is a ratio of at most ${GOAL}. Mean ± standard deviation over seeds; times are those of one thread of a busy machine.

${tableOf("goal", { head, runs, line })}

![Samples of all methods](images/methods2d.png)

## At further steps

${tableOf("more", { head, runs, line })}
`;
}

function line(runs: readonly Measured[], steps: number): readonly unknown[] {
  const at = runs.flatMap((r) => r.at.filter((a) => a.steps === steps));
  const [{ method, data, images, teacherNfe }] = runs;
  const of = (value: (a: Measured["at"][number]) => number) => at.map(value);
  return [
    method,
    data,
    steps,
    spread(
      of((a) => a.student),
      3,
    ),
    spread(
      of((a) => a.teacher),
      3,
    ),
    against(
      GOAL,
      of((a) => a.student / a.teacher),
    ),
    runs.length,
    thousands(images),
    thousands(teacherNfe),
    Math.round(mean(runs.map((r) => r.seconds))),
  ];
}
