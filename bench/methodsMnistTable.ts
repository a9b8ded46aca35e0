// docs/methodsMnist.md, from the measurements.
import { type Results, stepsOf } from "./methodRuns.ts";
import type { Measured, Quality } from "./methodsMnist.ts";
import { against, mean, spread, tableOf, thousands } from "./methodTable.ts";

/** Largest ratio to the teacher at equal steps: of the Fréchet distance at one step, of the endpoint in windows. */
const GOAL = { frechet: 1 / 3, endpoint: 0.7 } as const;
const windowed = ["perflow", "rectified-diffusion-phased"];

const head = [
  "method",
  "steps",
  "Fréchet",
  "teacher's",
  "ratio",
  "endpoint",
  "teacher's",
  "ratio",
  "recall",
  "images, thousands",
  "teacher evaluations, thousands",
  "seconds",
  "CPU seconds",
  "seeds",
];

interface About {
  readonly n: number;
  readonly many: number;
  readonly device: string;
  readonly shared: {
    readonly cpuMilliseconds: number;
    readonly teacher: Readonly<Record<string, Quality>>;
  };
}

export function documentOf({ about, runs }: Results<Measured>): string {
  const { n, many, device, shared } = about as unknown as About;
  const seeds = [...new Set(runs.map(({ seed }) => seed))].join(", ");
  const teacher = Object.entries(shared.teacher).map(
    ([steps, { frechet, endpoint, precision, recall }]) =>
      `| ${steps} | ${frechet.toFixed(2)} | ${endpoint.toFixed(3)} | ${precision.toFixed(2)} | ${recall.toFixed(2)} |`,
  );
  return `# All methods on MNIST

Made by \`npm run bench:methodsMnist\`; the numbers are in [results/methodsMnist.json](results/methodsMnist.json).

The teacher is \`assets/mnist-teacher\`, the data are the 10,000 images of \`assets/mnist-small\`. Every method trains a student with
\`--preset small\`. Neither teacher nor students are guided (guidance 1 on both sides), so all fourteen can be compared and a step is one
evaluation of the network. ${n.toLocaleString("en-US")} samples, all from the same noise; seed ${seeds}.

- **Fréchet**: distance of the samples to the 10,000 images in the 64 features of our own classifier. It is not "FID". The goal is at
  most 1/3 of the teacher's at one step.
- **endpoint**: root mean square distance to where the teacher's ${many} steps end from the same noise. The goal of methods with windows
  is at most ${GOAL.endpoint} of the teacher's at 4 steps. Methods that match distributions (dmd, swiftbrush, adversarial in part, meanflow) do
  not try to end there.
- **recall**: share of the data that lie among the samples; a student that makes few different digits has a low one.
- Times are of training on one thread of a busy machine (${device}). The teacher's pairs are made once for
  all methods that need them, and that time is not in the table: an evaluation took ${shared.cpuMilliseconds.toFixed(1)} ms of the processor.

${tableOf("goal", { head, runs, line })}

${missed(runs)}
Seen in the picture and not yet mended: swiftbrush makes one and the same shape for each label (its precision is high, its recall near
0); meanflow stays near the teacher's single step, and scm's samples are gray and noisy, perhaps because both begin with a network
that is told the time on another scale and have few images to learn that and the method. The others above the goal end nearly as
close to the teacher as rectified-diffusion and are noisier. One seed; what a longer training mends was not measured.

![Samples of all methods](images/methodsMnist.png)

The teacher by itself:

| steps | Fréchet | endpoint | precision | recall |
|--:|--:|--:|--:|--:|
${teacher.join("\n")}

## At further steps

${tableOf("more", { head, runs, line })}
`;
}

/** Whether it is here that a method is measured against a goal, and by what. */
const goalOf = (method: string, steps: number): keyof typeof GOAL | undefined =>
  windowed.includes(method) ? (steps === 4 ? "endpoint" : undefined) : steps === 1 ? "frechet" : undefined;

/** Names what is above its goal, with a digit more than the table. */
function missed(runs: readonly Measured[]): string {
  const above = Object.keys(stepsOf).flatMap((method) => {
    const ratios = runs
      .filter((r) => r.method === method)
      .flatMap(({ at }) =>
        at.flatMap(({ steps, student, teacher }) => {
          const key = goalOf(method, steps);
          return key === undefined ? [] : [{ key, ratio: student[key] / teacher[key] }];
        }),
      );
    if (ratios.length === 0 || mean(ratios.map((r) => r.ratio)) <= GOAL[ratios[0].key]) return [];
    return [`${method} (${mean(ratios.map((r) => r.ratio)).toFixed(3)})`];
  });
  return above.length === 0 ? "All are within their goals." : `Above the goal: ${above.join(", ")}.`;
}

function line(runs: readonly Measured[], steps: number): readonly unknown[] {
  const at = runs.flatMap((r) => r.at.filter((a) => a.steps === steps));
  const [{ method, images, teacherNfe }] = runs;
  const columns = (key: "frechet" | "endpoint", digits: number) => {
    const ratios = at.map((a) => a.student[key] / a.teacher[key]);
    return [
      spread(
        at.map((a) => a.student[key]),
        digits,
      ),
      spread(
        at.map((a) => a.teacher[key]),
        digits,
      ),
      goalOf(method, steps) === key ? against(GOAL[key], ratios) : spread(ratios, 2),
    ];
  };
  return [
    method,
    steps,
    ...columns("frechet", 2),
    ...columns("endpoint", 3),
    spread(
      at.map((a) => a.student.recall),
      2,
    ),
    thousands(images),
    thousands(teacherNfe),
    Math.round(mean(runs.map((r) => r.seconds))),
    Math.round(mean(runs.map((r) => r.cpuSeconds))),
    runs.length,
  ];
}
