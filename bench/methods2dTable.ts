// docs/methods2d.md, from the measurements.
import type { Measured, Results } from "./methods2d.ts";

type StepsOf = Readonly<Record<string, { readonly goal: readonly number[]; readonly more: readonly number[] }>>;

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
/** Of a sample; 0 for a single number. */
const deviation = (x: readonly number[]): number =>
  x.length < 2 ? 0 : Math.sqrt(x.reduce((s, v) => s + (v - mean(x)) ** 2, 0) / (x.length - 1));
const spread = (x: readonly number[], digits: number): string =>
  x.length < 2 ? x[0].toFixed(digits) : `${mean(x).toFixed(digits)} ± ${deviation(x).toFixed(digits)}`;
const thousands = (x: number): string => Math.round(x / 1000).toLocaleString("en-US");

/** The table at the steps that a method is made for, and one at further steps. */
export function documentOf(results: Results, stepsOf: StepsOf, methods: readonly string[]): string {
  const { floor = {} } = results.about as { floor?: Record<string, number> };
  const sets = [...new Set(results.runs.map(({ data }) => data))];
  const table = (which: "goal" | "more") => {
    const lines = methods.flatMap((method) =>
      sets.flatMap((data) => {
        const runs = results.runs.filter((r) => r.method === method && r.data === data);
        return runs.length === 0 ? [] : stepsOf[method][which].map((steps) => line(runs, steps));
      }),
    );
    return [
      "| method | data | steps | student | teacher | ratio | seeds | images, thousands | teacher evaluations, thousands | seconds |",
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
      ...lines,
    ].join("\n");
  };
  const near = Object.entries(floor).map(([data, d]) => `${d.toFixed(3)} for ${data}`);
  return `# All methods in the plane

Made by \`npm run bench:methods2d\`; the numbers are in [results/methods2d.json](results/methods2d.json).

One teacher per data set and seed (cosine form, v prediction, an MLP of width 96 with three blocks), and of each a student by
every method, with \`--preset small\`. Student and teacher take the same number of network evaluations. The distance is
the sliced Wasserstein distance of 4,096 samples to 16,384 held-out points. Two sets of data are not at 0 from each other:
as many fresh points are at ${near.join(" and ")}, which no model can be expected to fall below.

The goal is a ratio of at most 0.2. Mean ± standard deviation over seeds; times are those of one thread of a busy machine.

${table("goal")}

![Samples of all methods](images/methods2d.png)

## At further steps

${table("more")}
`;
}

function line(runs: readonly Measured[], steps: number): string {
  const at = runs.flatMap((r) => r.at.filter((a) => a.steps === steps));
  const [{ method, data, images, teacherNfe }] = runs;
  const ratio = at.map((a) => a.student / a.teacher);
  const cells = [
    method,
    data,
    steps,
    spread(
      at.map((a) => a.student),
      3,
    ),
    spread(
      at.map((a) => a.teacher),
      3,
    ),
    `${mean(ratio) <= 0.2 ? "**" : ""}${spread(ratio, 2)}${mean(ratio) <= 0.2 ? "**" : ""}`,
    runs.length,
    thousands(images),
    thousands(teacherNfe),
    Math.round(mean(runs.map((r) => r.seconds))),
  ];
  return `| ${cells.join(" | ")} |`;
}
