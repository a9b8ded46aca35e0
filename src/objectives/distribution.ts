// Matching the distribution of generated samples to a teacher's, by the difference of two predictions at noised samples.

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import type { Draws } from "../draws.ts";
import { abs, add, div, mul, perSample, square, stopGradient, sub, type Tensor } from "../graph/index.ts";
import { type Model, predict } from "../model.ts";
import type { Params } from "../nn/params.ts";
import { dataRow, noised, noiseRow, read } from "../pair.ts";
import { meanOfSample } from "./regress.ts";

/** A model with its parameters. */
export interface Asked {
  readonly model: Model<Params>;
  readonly params: Params;
}

/**
 * What moves a sample: [B, …], without gradient. "dmd": (x0_fake − x0_real)/mean|x − x0_real| (Yin et al. 2024, eq. 7 and
 * 8). "vsd": sigma²·(eps_real − eps_fake) (Wang et al. 2023; SwiftBrush, eq. 6).
 */
export type Direction = "dmd" | "vsd";

/**
 * ½·mean|x − sg[x − direction]|² of every sample [B], whose gradient is the direction over the number of elements. `t` and
 * `noise` noise the samples for the two predictions.
 */
export function matching(
  kind: Direction,
  real: Asked,
  fake: Asked,
  sample: Tensor,
  cond: Cond,
  t: Clock,
  noise: Tensor,
  draws: Draws,
): Tensor {
  const x = stopGradient(sample);
  const state = draws.note(
    "state",
    read(noised(t, x, noise), (time) => real.model.form.at(time)),
  );
  const ask = ({ model, params }: Asked) => predict(model, params, state, t, cond);
  const [byReal, byFake] = [ask(real), ask(fake)];
  const [dataReal, dataFake] = [read(byReal, dataRow), read(byFake, dataRow)];
  draws.note("data_real", dataReal);
  draws.note("data_fake", dataFake);
  // How well each knows the samples: a critic that is worse than the teacher does not follow. In eps, as it is trained: in
  // x0 the noisiest samples would count thousandfold.
  draws.note("teacher_error", meanOfSample(square(sub(read(byReal, noiseRow), noise))));
  draws.note("critic_error", meanOfSample(square(sub(read(byFake, noiseRow), noise))));
  const direction = stopGradient(
    kind === "dmd"
      ? div(sub(dataFake, dataReal), perSample(meanOfSample(abs(sub(x, dataReal))), x.shape.length))
      : mul(
          sub(draws.note("eps_teacher", read(byReal, noiseRow)), draws.note("eps_critic", read(byFake, noiseRow))),
          t.column((time) => real.model.form.at(time)[1] ** 2, x.shape.length),
        ),
  );
  const target = stopGradient(sub(x, draws.note("direction", direction)));
  draws.note("value", sample);
  draws.note("target", target);
  return draws.note("losses_matching", mul(0.5, meanOfSample(square(sub(sample, target)))));
}

/** Samples of a one- or few-step generator; see `generate`. */
export interface Generator {
  readonly model: Model<Params>;
  /** Falling times at which it is asked, from 1. */
  readonly times: readonly number[];
}

/**
 * The generator's data prediction [B, …]: at the state `noise` of its first time, or, with several steps, at one of its times, which it reaches by
 * its own steps without gradient: data, noised again (DMD2's backward simulation, Yin et al. 2024b, section 4.5).
 */
export function generate({ model, times }: Generator, p: Params, noise: Tensor, cond: Cond, draws: Draws): Tensor {
  const { form } = model;
  const first = draws.clock("generator_t", (q) => times[Math.min(times.length - 1, Math.floor(q * times.length))]);
  let state = noise;
  let input = noise;
  for (let k = 0; k + 1 < times.length; k++) {
    const at = first.at(() => times[k]);
    const made = stopGradient(read(predict(model, p, state, at, cond), dataRow));
    const next = first.at(() => times[k + 1]);
    state = stopGradient(read(noised(next, made, draws.normal(`renoise.${k}`)), (time) => form.at(time)));
    const here = first.column((time) => (time === times[k + 1] ? 1 : 0), state.shape.length);
    input = add(mul(state, here), mul(input, sub(1, here)));
  }
  return draws.note("generated", read(predict(model, p, draws.note("generator_input", input), first, cond), dataRow));
}
