// What every method draws for its losses, by hand: the laws of its times, its noise, its conditions, and what it names.

import { describe, expect, it } from "vitest";
import { cosine, type Form, linear, type Prediction, velocity, vPrediction, vp } from "../../src/core/index.ts";
import type { CondKind, Draws } from "../../src/draws.ts";
import { drawsOf } from "../../src/draws.ts";
import { input } from "../../src/graph/index.ts";
import { fromTensors } from "../../src/nn/params.ts";
import { key } from "../../src/random.ts";
import { diffusion, type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf } from "../../src/run/step.ts";
import { tinyModel } from "../run/helpers.ts";

type Options = Readonly<Record<string, unknown>>;
const all = [...recipes, diffusion] as unknown as readonly Recipe[];
const [tMin, tMax] = [0.04, 0.96];
const cut = (form: Form): Form => ({ ...form, tMin, tMax });
const start = (form: Form, prediction: Prediction = vPrediction, offset = 0, classes: number | null = 3): Start =>
  startOf({ ...tinyModel(form, prediction, classes), timeInput: { scale: 1000, offset } });
const teacher = start(cut(vp()));
const stagesOf = (name: string, o: Options = {}, from = teacher): readonly Stage[] => {
  const recipe = all.find((r) => r.name === name) as Recipe;
  const options = recipe.options.parse(o);
  return outline(() => recipe.stages(from, recipe.resolve?.(from, options) ?? options, key(1)));
};

interface Asked {
  readonly laws: Map<string, (q: number, t: number) => number>;
  readonly noise: Set<string>;
  /** "dropped", "pair_full": kinds of conditions with the prefix of their source. */
  readonly conds: Set<string>;
  readonly notes: Set<string>;
}
/** What the losses of a stage's players ask for, by player. */
function askedBy(stage: Stage): Record<string, Asked> {
  return Object.fromEntries(
    stage.players.map((player): [string, Asked] => {
      const draws = drawsOf(2, stage.model.sampleShape, stage.model.conditions, columnsOf(stage));
      const asked: Asked = { laws: new Map(), noise: new Set(), conds: new Set(), notes: new Set() };
      const watched: Draws = {
        ...draws,
        clock: (name, law) => draws.clock(name, asked.laws.set(name, law).get(name) ?? law),
        clockAfter: (name, t, law) => draws.clockAfter(name, t, asked.laws.set(name, law).get(name) ?? law),
        number: (name, law) => draws.number(name, asked.laws.set(name, law).get(name) ?? law),
        normal(name, ...shape) {
          asked.noise.add(name);
          return draws.normal(name, ...shape);
        },
        cond(kind: CondKind, prefix = "") {
          asked.conds.add(`${prefix}${kind}`);
          return draws.cond(kind, prefix);
        },
        note(name, x) {
          asked.notes.add(name);
          return draws.note(name, x);
        },
      };
      const table = (name: string, average?: string) => {
        const { spec } = stage.players.find((p) => p.name === name) as { spec: typeof player.spec };
        const vector = `${name}.${average ?? "theta"}`;
        return fromTensors(new Map(spec.map((s) => [s.name, input(`${vector}.${s.name}`, s.shape)])));
      };
      player.loss(table, watched);
      return [player.name, asked];
    }),
  );
}
const namesOf = (set: Iterable<string>) => [...set].sort();

describe("noise, conditions and names", () => {
  const regression = ["state", "target", "value"];
  const window = [...regression, "window_end", "window_start"];
  const consistent = ["solved", "state", "target", "value"];
  const made = ["generated", "generator_input"];
  const matched = ["critic_error", "data_fake", "data_real", "direction", "losses_matching", "target", "teacher_error"];
  const dmd = [...made, ...matched, "state", "value"];
  const followed = [...made, "losses_diffusion", "state", "target", "value"];
  const logits = (...noises: string[]) => noises.flatMap((noise) => [`logits_${noise}`, `state_${noise}`]);
  type Row = readonly [noise: readonly string[], conds: readonly string[], notes: readonly string[]];
  const cases: readonly (readonly [name: string, o: Options, student: Row, critic?: Row])[] = [
    ["diffusion", {}, [["noise"], ["dropped"], regression]],
    // Sync guidance: the teacher is conditioned as the student is; fixed: it knows the label.
    ["perflow", { predict: "ddim_eps" }, [["noise"], ["dropped"], window]],
    ["perflow", { predict: "ddim_eps", guidance: 2 }, [["noise"], ["dropped", "full"], window]],
    ["perflow", { predict: "ddim_eps", weight: "endpoint" }, [["noise"], ["dropped"], [...window, "weight"]]],
    ["rectified-diffusion", {}, [[], ["dropped"], regression]],
    ["rectified-diffusion-phased", { guidance: 2 }, [["noise"], ["dropped", "full"], window]],
    ["rectified-diffusion-cd", { rectify: 0 }, [["noise"], ["dropped", "full"], consistent]],
    ["reflow", {}, [[], ["dropped"], regression]],
    ["consistency", {}, [["noise"], ["dropped", "full"], consistent]],
    ["consistency", { distill: false }, [["noise"], ["dropped", "full"], consistent]],
    ["lcm", {}, [["noise"], ["full"], consistent]],
    ["progressive", {}, [["noise"], ["dropped"], [...regression, "end", "middle", "weight"]]],
    [
      "dmd",
      {},
      [
        ["noise", "noise_2"],
        ["full", "pair_full"],
        [...dmd, "losses_regression", "regressed"],
      ],
      [["critic_noise", "noise"], ["full"], followed],
    ],
    // A term without weight is not computed.
    ["dmd", { regression: 0 }, [["noise", "noise_2"], ["full"], dmd], [["critic_noise", "noise"], ["full"], followed]],
    [
      "dmd",
      { regression: 0, gan: 0.1, steps: 2 },
      [["noise", "noise_2", "noise_gan", "renoise.0"], ["full"], [...dmd, ...logits("noise_gan"), "losses_gan"]],
      [
        ["critic_noise", "critic_noise_fake", "critic_noise_real", "noise", "renoise.0"],
        ["full"],
        [...followed, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator", "losses_gan"],
      ],
    ],
    [
      "swiftbrush",
      {},
      [["noise", "noise_2"], ["full"], [...dmd, "eps_critic", "eps_teacher"]],
      [
        ["critic_noise", "noise"],
        ["dropped-together", "full"],
        [...made, ...regression],
      ],
    ],
    [
      "adversarial",
      {},
      [["noise_2"], ["full"], [...made, ...logits("noise_2"), "losses_gan", "losses_regression", "target", "value"]],
      [
        ["critic_noise_fake", "critic_noise_real"],
        ["full", "real_full"],
        [...made, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator"],
      ],
    ],
    ["adversarial", { gan: 0 }, [[], ["full"], [...made, "losses_regression", "target", "value"]]],
    [
      "adversarial",
      { regression: 0 },
      [["noise_2"], ["full"], [...made, ...logits("noise_2"), "losses_gan", "value"]],
      [
        ["critic_noise_fake", "critic_noise_real"],
        ["full", "real_full"],
        [...made, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator"],
      ],
    ],
    ["meanflow", {}, [["noise"], ["dropped"], [...regression, "derivative", "squared_error", "velocity", "weight"]]],
    ["scm", {}, [["noise"], ["dropped"], [...regression, "derivative", "normalized_tangent", "tangent", "velocity"]]],
    // A guided teacher knows the label.
    [
      "scm",
      { guidance: 2 },
      [["noise"], ["dropped", "full"], [...regression, "derivative", "normalized_tangent", "tangent", "velocity"]],
    ],
  ];
  it.each(cases)("of %s %j", (name, o, ...players) => {
    const asked = askedBy(stagesOf(name, o)[0]);
    const found = Object.fromEntries(
      Object.entries(asked).map(([who, { noise, conds, notes }]) => [who, [noise, conds, notes].map(namesOf)]),
    );
    const wanted = players.map((row, i) => [["student", "critic"][i], row?.map(namesOf)]);
    expect(found).toEqual(Object.fromEntries(wanted.filter(([, row]) => row)));
  });

  it("of the stages that come first or after", () => {
    const [smooth] = stagesOf("scm", { timeScale: 5 }).map(askedBy);
    expect([smooth.student.noise, smooth.student.conds].map(namesOf)).toEqual([["noise"], ["dropped"]]);
    expect(namesOf(smooth.student.notes)).toEqual(["target", "value"]);
    const [, one] = stagesOf("instaflow").map(askedBy);
    expect([one.student.noise, one.student.conds].map(namesOf)).toEqual([[], ["full"]]);
  });
});

describe("times", () => {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  /** Of the standard normal at 1. */
  const P = 0.841344746068543;
  const close = (x: number) => expect.closeTo(x, 9);
  type Law = readonly (readonly [q: number, time: number, t?: number])[];
  const uniform: Law = [
    [0, tMax],
    [0.25, 0.73],
    [1, tMin],
  ];
  /** The ends say little: 0.02 to 0.98. */
  const inside: Law = [
    [0, 0.98],
    [0.25, 0.74],
    [1, 0.02],
  ];
  const noisiest: Law = [
    [0, tMax],
    [0.7, tMax],
  ];
  const gan = { regression: 0, gan: 0.1 };
  const straight = start(cut(linear()), velocity);
  const angle = (nsr: number) => (2 / Math.PI) * Math.atan(Math.exp(nsr));
  const trig = start(cosine());
  const cases: readonly (readonly [string, Options, Readonly<Record<string, Law>>, Start?, stage?: number])[] = [
    ["diffusion", {}, { t: uniform }],
    [
      "rectified-diffusion",
      { atNoise: 0.5 },
      {
        t: [
          [0.49, tMax],
          [0.5, tMax],
          [0.625, 0.73],
        ],
      },
    ],
    [
      "reflow",
      { atNoise: 0.5, start: "snr-matched" },
      {
        t: [
          [0, tMax],
          [0.625, 0.73],
        ],
      },
      straight,
    ],
    ["instaflow", {}, { t: noisiest }, straight, 1],
    [
      "consistency",
      { grid: 4 },
      {
        t: [
          [0, 1],
          [0.3, 0.75],
          [0.99, 0.25],
        ],
        s: [
          [0.7, 0.5, 0.75],
          [0.7, tMin, 0.25],
        ],
      },
    ],
    [
      "lcm",
      { grid: 4, guidanceMin: 2, guidanceMax: 8 },
      {
        t: [
          [0, 1],
          [0.3, 0.75],
        ],
        s: [
          [0.7, 0.5, 0.75],
          [0.7, tMin, 0.25],
        ],
        // w = g − 1.
        w: [
          [0, 1],
          [0.25, 2.5],
          [1, 7],
        ],
      },
    ],
    // The first time that its network has a label for.
    ["lcm", { grid: 4 }, { s: [[0, 0.001, 0.25]] }, start({ ...vp(), tMin: 0 }, vPrediction, -1)],
    ["lcm", { grid: 4 }, { s: [[0, 0, 0.25]] }, start({ ...vp(), tMin: 0 }, vPrediction, 0)],
    [
      "progressive",
      { from: 2 },
      {
        t: [
          [0, 1],
          [0.4, 1],
          [0.6, 0.5],
        ],
      },
    ],
    ["dmd", {}, { generator_t: noisiest, t: inside, critic_t: uniform, pair_t: noisiest }],
    [
      "dmd",
      { ...gan, steps: 3 },
      {
        generator_t: [
          [0, tMax],
          [0.34, (tMax * 2) / 3],
          [0.99, tMax / 3],
        ],
        t: inside,
        critic_t: uniform,
        t_gan: inside,
        critic_t_gan: inside,
      },
    ],
    ["swiftbrush", {}, { generator_t: noisiest, t: inside, critic_t: uniform }],
    ["adversarial", {}, { generator_t: noisiest, t: inside, critic_t: inside }],
    [
      "meanflow",
      { equal: 0.5, timeMean: 0.3, timeStd: 0.6 },
      {
        // The larger of two draws, and the smaller one where they differ.
        t: [
          [0, tMin],
          [0.25, sigmoid(0.3)],
          [P ** 2, sigmoid(0.9)],
          [1, tMax],
        ],
        r: [
          [0.49, 0.8, 0.8],
          [0.5, tMin, 0.8],
          [0.5 + 0.25 / P, sigmoid(0.3), sigmoid(0.9)],
          [1, sigmoid(0.9), sigmoid(0.9)],
        ],
      },
      straight,
    ],
    [
      "scm",
      { timeMean: 0.3, timeStd: 0.6 },
      {
        t: [
          [0.5, angle(0.3)],
          [P, angle(0.9)],
          [1 - P, angle(-0.3)],
        ],
      },
      trig,
    ],
    ["scm", { timeScale: 5 }, { t: uniform }],
  ];
  it.each(cases)("of %s %j", (name, o, wanted, from = teacher, stage = 0) => {
    const laws = new Map(Object.values(askedBy(stagesOf(name, o, from)[stage])).flatMap(({ laws: own }) => [...own]));
    for (const [clock, points] of Object.entries(wanted)) {
      const law = laws.get(clock);
      const found = points.map(([q, , t]) => law?.(q, t ?? Number.NaN));
      expect([clock, found]).toEqual([clock, points.map(([, time]) => close(time))]);
    }
  });

  it("no others are drawn, but where the losses say so", () => {
    const drawn = (name: string, o: Options = {}, from = teacher) =>
      Object.values(askedBy(stagesOf(name, o, from)[0])).map(({ laws }) => [...laws.keys()]);
    expect(drawn("dmd", { regression: 0 })).toEqual([
      ["generator_t", "t"],
      ["generator_t", "critic_t"],
    ]);
    expect(drawn("lcm", {}, start(vp(), vPrediction, 0, null))).toEqual([["t", "s"]]);
    expect(drawn("adversarial", { gan: 0 })).toEqual([["generator_t"]]);
  });
});
