// What a training would be, found out without training: network, steps, memory, time.
import { countParams } from "../nn/params.ts";
import type { Stage } from "../recipes/recipe.ts";
import { stepsOf } from "../run/outline.ts";
import type { Context } from "./context.ts";
import { formatSeconds, formatSpeed, grouped } from "./format.ts";
import { type Available, inGigabytes, type MemoryQuestion, memoryOf } from "./memory.ts";

export interface DryRun {
  readonly stages: readonly Stage[];
  readonly images: number;
  /** Of all processes together. */
  readonly batch: number;
  readonly perSecond: number;
  readonly question: MemoryQuestion;
  readonly available: Available;
}

/** Says it in sentences, and as an event for programs. */
export function sayDryRun(d: DryRun, { report, runtime }: Context): void {
  const { stages, images, batch, perSecond, available } = d;
  const [{ network, players, source }] = stages;
  const steps = stepsOf(stages, images, batch);
  const all = steps.reduce((a, b) => a + b, 0);
  const parameters = players.map(({ name, spec }) => ({ name, parameters: countParams(spec) }));
  const memory = runtime.device === "cpu" ? memoryOf(stages[0], d.question) : undefined;
  const seconds = (all * batch) / perSecond;
  report.event({
    kind: "dry-run",
    network: network.family,
    players: parameters,
    stages: stages.map(({ name }, i) => ({ name, steps: steps[i] })),
    images,
    batch,
    imagesPerSecond: perSecond,
    seconds,
    memory: memory ?? null,
    ...(source.pairs ? { pairs: source.pairs.pairs } : {}),
  });
  const whose = parameters.map(({ name, parameters: n }) => `${name} ${grouped(n)}`).join(", ");
  const parts = stages.length > 1 ? ` (${stages.map(({ name }, i) => `${name} ${grouped(steps[i])}`).join(", ")})` : "";
  const lines = [
    `Network: ${network.family}; parameters that are trained: ${whose}.`,
    `Steps: ${grouped(all)} of ${batch} images${parts}.`,
    memory === undefined
      ? `Memory: not known on ${runtime.device}.`
      : `Memory: about ${inGigabytes(memory)} of ${inGigabytes(available.free)} that are free.`,
    ...(source.pairs
      ? [`Pairs: ${grouped(source.pairs.pairs)} of ${source.pairs.steps} steps of the teacher come first.`]
      : []),
    `Time: about ${formatSeconds(seconds)} at ${formatSpeed(perSecond)} images/s, as three steps of ${stages[0].name} took; checkpoints${source.pairs ? ", pairs" : ""} and pictures come on top.`,
  ];
  for (const line of lines) report.note(line);
}
