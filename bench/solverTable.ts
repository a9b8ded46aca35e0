// Writes docs/solvers.md: every sampler with its declared order, the order measured on every form, and counted evaluations.
import { writeFileSync } from "node:fs";
import { vPrediction } from "../src/core/index.ts";
import { integrate, type Solver, solvers } from "../src/solvers/index.ts";
import { gaussianDenoiser } from "../test/oracle/gaussian.ts";
import { type Arena, arenaGrid, arenas, measureOrder, supports } from "../test/oracle/order.ts";

async function countedNfe(solver: Solver, arena: Arena): Promise<string> {
  const steps = 12;
  let calls = 0;
  const denoise = gaussianDenoiser<Float64Array>({ mean: 0.5, std: 0.3 }, arena.form, vPrediction);
  await integrate(solver, {
    form: arena.form,
    prediction: vPrediction,
    times: arenaGrid(arena, steps),
    x: Float64Array.of(0.4) as Float64Array,
    predict: (x, t) => {
      calls++;
      return denoise(x, t);
    },
    noise: (): Float64Array => Float64Array.of(0.3),
  });
  return solver.nfePerStep === "adaptive" ? "adaptive" : String(calls / steps);
}

const kinds = { ode: "ODE", sde: "SDE", consistency: "consistency" } as const;

const header = ["solver", "kind", "order", ...arenas.map(({ form }) => form.name), "NFE per step"];
const lines = [header, header.map((_, i) => (i < 2 ? "---" : "---:"))];
for (const solver of solvers) {
  const cells: string[] = [];
  for (const arena of arenas) {
    if (solver.refuses?.(arena.form)) cells.push("–");
    else if (solver.kind === "consistency") cells.push(solver.name === "lcm" ? "exact" : "–");
    else if (!supports(solver, arena)) cells.push("≥ 1");
    else cells.push((await measureOrder(solver, arena)).toFixed(2));
  }
  const arena = arenas.find((a) => supports(solver, a)) ?? arenas[0];
  lines.push([
    `\`${solver.name}\``,
    kinds[solver.kind],
    String(solver.order || "–"),
    ...cells,
    await countedNfe(solver, arena),
  ]);
  console.log(lines[lines.length - 1].join("  "));
}

const text = `# Solvers

Written by \`npx tsx bench/solverTable.ts\`; the same measurements run as tests (\`test/solvers/order.test.ts\`).

The declared order, and the order measured on every form against exact flows in float64, step counts doubling twice
(192 to 768; 96 to 384 for order 4 and on chords; 24 to 96 for order 5). ODE solvers are measured by the endpoint of a mixture's
flow from six starts, with multistep solvers warmed up along the exact trajectory; SDE solvers by the variance of Gaussian data,
computed without sampling. Consistency samplers have no order: with a consistency model \`lcm\` is exact at any number of steps.

"–": the solver refuses the form, or no order is defined. "≥ 1": it runs and converges, but the declared order needs a form that is smooth in t, and
a table or a chord has kinks. In ordinary use a multistep solver warms up with lower orders, which limits the order of very long
runs to 2; in runs of up to a few hundred steps the error it leaves is the smaller one.

${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}

Names: \`dpm\` interpolates the noise, \`dpm++\` the data; \`2m\` reuses past evaluations, \`2s\` evaluates inside the step; \`sde-\` adds
noise. \`deis-tAB\` interpolates the noise in t, \`deis-rhoAB\` in sigma/alpha, \`deis-logrho\` in log-SNR (the same method as \`dpm-3m\`).
\`ancestral\` is DDIM with eta = 1. \`perflow\` is DDIM on a chord, \`phased\` DDIM on the teacher's form, both with a grid through
every window edge. Flow matching's Euler and Heun are \`euler\` and \`heun\` on the linear form, where \`euler\` and \`ddim\` are one.

## Adding one

One file that declares the solver, and its entry in \`src/solvers/index.ts\`; the contract tests take it from there, on every
form that it supports. The last one added (\`git show --stat 2f7762c\`, with its row in this table):

\`\`\`
 src/solvers/index.ts |  2 ++      its import, its line in the list
 src/solvers/kdpm2.ts | 29 +++++
\`\`\`
`;
writeFileSync(new URL("../docs/solvers.md", import.meta.url), text);
