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
- Times are of training on one thread of a busy machine (${device}). The teacher's pairs of 20 steps are made
  once for all methods that need them, and that time is not in the table: an evaluation took ${shared.cpuMilliseconds.toFixed(1)} ms of the processor.

${tableOf("goal", { head, runs, line })}

${missed(runs)}
The presets were chosen on seed 0, which the table shows; no other seed was run. What was found on the way:

- **One step begins badly conditioned.** The teacher predicts eps, and its noisiest state has alpha = 0.068: there an error of eps
  is 14.6 times as large in the data. A student of one step therefore moves much faster than its critic, which is asked at all
  times. With rates of 4e-4 and 1.6e-3 swiftbrush made one shape for each label (Fréchet 35.8, recall 0.02); with 5e-5 and 8e-4 it
  does not, from fewer images.
- **Every stage adds an error of its own**, because each learns from the student before it. More images alone changed little
  (progressive: 12.06 from 16,000 and 12.08 from 19,200). The teacher's samples of 4 steps are nearer to the data than those of
  50, so instaflow with pairs of 4 steps came from 21.4 to 12.4. rectified-diffusion-cd with 4 points of the grid in place of 8 and
  24,000 images in place of 16,000 came from 18.7 to 14.4: with fewer points more of a batch is at pure noise.
- **meanflow and scm need a network that is smooth in time.** This one is told 1000·t, and its fastest waves make a derivative of
  eps in time that is about as large as what is left without them. Told 5·t, it had 100 steps to learn its teacher again. Now the
  first layer of the time is refitted by least squares when the scale changes (mean square error of eps 4e-5 before any training;
  the steps of "smooth in time" that follow first raise it, and end at about 1e-4). scm now draws its times at more noise, and
  meanflow learns from the teacher's velocity: scm came from 68.3 to 25.9 and meanflow from 34.1 to 26.8, at 4 steps from 31.4 to
  10.2 and from 14.1 to 4.3. Both are still learning when their budget ends, about 130 seconds of the processor; more was not
  measured. scm takes data of unit deviation: the root mean square of these is 0.96.

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
