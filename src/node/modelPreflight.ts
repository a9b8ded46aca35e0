// What a model without prompts needs, before its weights are read: network, memory and time of its sampler.
import { canBeGuided } from "../condition.ts";
import { operations } from "../graph/flops.ts";
import { input } from "../graph/index.ts";
import { estimateMemory } from "../graph/memory.ts";
import { countParams } from "../nn/params.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";
import { formatSeconds } from "./format.ts";
import { nowhere } from "./generate/cost.ts";
import type { Finding } from "./generate/preflight.ts";
import { measureSpeed } from "./generate/speed.ts";
import { availableMemory, inGigabytes, processBytes } from "./memory.ts";
import { checkUntold, outlineModel } from "./models.ts";

export interface ModelQuestion {
  readonly model: string;
  /** Default: the fewest that it was made for. */
  readonly steps?: number;
  /** Samples at a time. */
  readonly batch: number;
  readonly guidance?: number;
}

/** Yields findings as they are made. Throws an Error for a model that is damaged, UsageError for guidance that it cannot take. */
export async function* preflightModel(
  o: ModelQuestion,
  { runtime }: Pick<Context, "runtime">,
): AsyncGenerator<Finding> {
  const one = await outlineModel(o.model);
  checkUntold(one);
  const { network, model, spec, sampler, notes } = one;
  const guidance = o.guidance ?? 1;
  if (guidance !== 1 && !canBeGuided(model.conditions))
    throw new UsageError(`--guidance ${guidance} needs a model with classes and a "no label"; ${one.name} has none.`);
  const parameters = countParams(spec);
  const steps = o.steps ?? Math.min(...sampler.steps);
  const shape = model.sampleShape.join(" x ");
  yield {
    name: "model",
    ok: true,
    text: [`${network.family}, ${parameters.toLocaleString("en-US")} parameters, samples of ${shape}`, ...notes].join(
      "; ",
    ),
    fields: { family: network.family, parameters, shape: model.sampleShape },
  };
  const rows = (guidance === 1 ? 1 : 2) * o.batch;
  const cond = Object.fromEntries(
    Object.entries(network.conditions).map(([name, { shape: of, dtype }]) => [name, input(name, [rows, ...of], dtype)]),
  );
  const y = network.apply(nowhere, input("x", [rows, ...network.sampleShape]), input("tau", [rows]), cond);
  const needed = processBytes(estimateMemory({ y }));
  const { free, total } = availableMemory();
  const what = o.batch === 1 ? "a sample" : `${o.batch} samples at a time`;
  yield {
    name: "memory",
    ok: needed <= free,
    text: `about ${inGigabytes(needed)} for ${what}${needed <= free ? "" : `, but ${inGigabytes(free)} are free: a smaller --batch needs less`}`,
    fields: { needed, free, total },
  };
  const speed = await measureSpeed(runtime);
  const work = operations({ y });
  const each = work.convolutions / speed.convolutions + work.matrices / speed.matrices;
  yield {
    name: "time",
    ok: null,
    text: `about ${formatSeconds(steps * each)} for ${what} with ${sampler.solver}, ${steps} step${steps === 1 ? "" : "s"}, guidance ${guidance}: ${each.toPrecision(2)} s an evaluation (products and convolutions alone, at the speed of a moment ago on ${runtime.device})`,
    fields: { seconds: steps * each, evaluation: each, steps, ...speed },
  };
}
