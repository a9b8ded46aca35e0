// The laws of the times and numbers that every method draws, in closed form.

import { describe, expect, it } from "vitest";
import { cosine, linear, logSnr, velocity, vPrediction, vp } from "../../src/core/index.ts";
import type { Start } from "../../src/recipes/index.ts";
import { askedBy, cut, type Options, stagesOf, start, teacher, tMax, tMin } from "./asked.ts";

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
  const onLine = (t: number) => linear().tAt(logSnr(vp(), t));
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
    // A teacher is asked where it knows the times: at the SNR of its own ends.
    [
      "meanflow",
      { distill: true },
      {
        t: [
          [0, onLine(tMin)],
          [1, onLine(tMax)],
        ],
      },
    ],
    [
      "meanflow",
      { timeMean: 6 },
      {
        t: [[0.25, sigmoid(6)]],
      },
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
  const rows = cases.map(([name, o, laws, from, stage]) => [name, o, laws, from ?? teacher, stage ?? 0] as const);
  it.each(rows)("of %s %j", (name, o, wanted, from, stage) => {
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
