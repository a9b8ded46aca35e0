import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chord,
  cosine,
  edm,
  type Form,
  formFromSpec,
  linear,
  logSnr,
  subVp,
  table,
  uniformWindows,
  ve,
  vp,
} from "../../src/core/index.ts";

const scaledLinear = table();
const forms: Form[] = [
  linear(),
  linear(3),
  vp(),
  cosine(),
  subVp(),
  ve(),
  edm(),
  scaledLinear,
  table({ schedule: "linear", betaStart: 1e-4, betaEnd: 0.02 }),
  table({ schedule: "squaredcos_cap_v2" }),
  table({ zeroSnr: true }),
  table({ betas: [0.1, 0.2, 0.3, 0.4] }),
  chord(linear(), uniformWindows(3)),
  chord(scaledLinear, uniformWindows(4)),
  chord(vp(), uniformWindows(2)),
  chord(table({ zeroSnr: true }), uniformWindows(8)),
];

describe.each(forms.map((form) => [form.name, form] as const))("form %s", (_name, form) => {
  const inner = { min: Math.max(form.tMin, 1e-3) + 1e-6, max: 1 - 1e-4, noNaN: true };

  test("data end: the signal dominates; noise end: the noise dominates", () => {
    const [a0, s0] = form.at(0);
    const [a1, s1] = form.at(1);
    expect(s0 / a0).toBeLessThan(form.name === "table" || form.name.startsWith("chord") ? 0.4 : 0.011);
    expect(s1 / a1).toBeGreaterThan(1);
  });

  test("log-SNR falls strictly", () => {
    const times = Array.from({ length: 400 }, (_, i) => form.tMin + ((form.tMax - form.tMin) * i) / 399);
    const levels = times.map((t) => logSnr(form, t));
    for (let i = 1; i < levels.length; i++) expect(levels[i]).toBeLessThan(levels[i - 1]);
  });

  test("rate is the derivative of at", () => {
    fc.assert(
      fc.property(fc.double(inner), (t) => {
        const h = 1e-7;
        // Kinks: knots of a table, edges of a chord.
        const knots = form.spec.kind === "table" ? (form.name === "table" ? Math.round(1 / form.tMin) : 1000) : 24;
        const piecewise = form.spec.kind === "table" || form.spec.kind === "chord";
        fc.pre(!piecewise || Math.abs(t * knots - Math.round(t * knots)) > 2 * h * knots);
        const [up, down, rate] = [form.at(t + h), form.at(t - h), form.rate(t)];
        for (const i of [0, 1] as const) {
          expect(Math.abs((up[i] - down[i]) / (2 * h) - rate[i])).toBeLessThan(1e-5 * Math.max(1, Math.abs(rate[i])));
        }
      }),
    );
  });

  test("tAt inverts logSnr", () => {
    fc.assert(
      fc.property(fc.double(inner), (t) => {
        expect(Math.abs(form.tAt(logSnr(form, t)) - t)).toBeLessThan(1e-10);
      }),
    );
    expect(Math.abs(form.tAt(logSnr(form, 1)) - 1)).toBeLessThan(1e-10);
    expect(() => form.tAt(Number.NaN)).toThrow(RangeError);
  });

  test("survives JSON", () => {
    const again = formFromSpec(JSON.parse(JSON.stringify(form.spec)));
    expect(again.name).toBe(form.name);
    for (const t of [0, 0.2, 0.25, 0.6180339, 1]) {
      expect(again.at(t)).toEqual(form.at(t));
      expect(again.rate(t)).toEqual(form.rate(t));
    }
  });

  test("refuses times outside [0, 1]", () => {
    for (const t of [-1e-9, 1.0000001, Number.NaN]) expect(() => form.at(t)).toThrow(form.name);
  });
});

describe("published tables", () => {
  // index, ᾱ and r of scaled_linear, linear(.00085, .012), DDPM linear
  const rows = [
    [0, 0.99915, 0.0291672, 0.99915, 0.0291672, 0.9999, 0.0100005],
    [124, 0.8634075569, 0.3977456, 0.8245578885, 0.4612712, 0.8461799376, 0.4263587],
    [249, 0.6754324137, 0.6932049, 0.5708661561, 0.8670202, 0.5240853738, 0.9529355],
    [374, 0.4667102454, 1.0689514, 0.331766971, 1.4192124, 0.237398939, 1.7922943],
    [499, 0.2776696505, 1.6128862, 0.1618121459, 2.2759626, 0.0785872429, 3.4241366],
    [624, 0.1386441682, 2.4925306, 0.0662157525, 3.7552825, 0.0189967491, 7.1861384],
    [749, 0.0566234916, 4.0817294, 0.0227288031, 6.5572126, 0.0033505504, 17.246983],
    [874, 0.0184327222, 7.297352, 0.0065425849, 12.322532, 0.0004308406, 48.166836],
    [999, 0.0046600985, 14.6146412, 0.0015789629, 25.1461148, 0.0000403583, 157.40728],
  ];
  const tables = [
    scaledLinear,
    table({ schedule: "linear", betaStart: 0.00085, betaEnd: 0.012 }),
    table({ schedule: "linear", betaStart: 1e-4, betaEnd: 0.02 }),
  ];
  test.each(rows)("index %d", (index, ...values) => {
    tables.forEach((form, k) => {
      const [alpha, sigma] = form.at(form.time(index));
      expect(Math.abs(alpha ** 2 - values[2 * k])).toBeLessThan(6e-11);
      expect(Math.abs(sigma / alpha / values[2 * k + 1] - 1)).toBeLessThan(2e-6);
      expect(form.alphasCumprod[index]).toBeCloseTo(alpha ** 2, 14);
    });
  });

  test("zero terminal SNR", () => {
    const form = table({ zeroSnr: true });
    const at = (i: number) => form.alphasCumprod[i];
    for (const [i, bar] of [
      [249, 0.654189],
      [499, 0.242359],
      [749, 0.0331715],
    ])
      expect(Math.abs(at(i) - bar)).toBeLessThan(5e-7);
    expect(form.at(1)).toEqual([0, 1]);
    expect(at(0)).toBeCloseTo(0.99915, 12);
  });

  test("equal signal and noise at index 353.890", () => {
    expect(scaledLinear.index(scaledLinear.tAt(0))).toBeCloseTo(353.89, 2);
    expect(scaledLinear.at(0)).toEqual(scaledLinear.at(1 / 1000));
  });

  test("SNR matching to the linear form", () => {
    const fm = [
      [0, 0.02834054, 0.97207267],
      [249, 0.40940402, 0.71862039],
      [499, 0.61728146, 0.72629875],
      [749, 0.8032166, 0.8269708],
      [999, 0.93595754, 0.93814602],
    ];
    for (const [index, time, scale] of fm) {
      const t = (index + 1) / 1000;
      const [alpha, sigma] = scaledLinear.at(t);
      expect(Math.abs(linear().tAt(logSnr(scaledLinear, t)) - time)).toBeLessThan(6e-9);
      expect(Math.abs(1 / (alpha + sigma) - scale)).toBeLessThan(6e-8);
    }
  });

  test("continuous VP", () => {
    const values = [
      [0.1, 0.9467217988, 0.3220525355, 1.0782905929],
      [0.5, 0.2811828808, 0.9596542021, -1.2275677344],
      [1, 0.0065715865, 0.9999784069, -5.0249784067],
      [0.001, 0.9999450265, 0.0104854163, 4.5577149327],
    ];
    for (const [t, alpha, sigma, lambda] of values) {
      expect(vp().at(t)[0]).toBeCloseTo(alpha, 9);
      expect(vp().at(t)[1]).toBeCloseTo(sigma, 9);
      expect(logSnr(vp(), t)).toBeCloseTo(lambda, 9);
    }
  });

  test("floor between entries takes the entry below", () => {
    const form = table({ between: "floor" });
    expect(form.at(2 / 3)).toEqual(form.at(666 / 1000));
  });

  test("refusals name the value", () => {
    expect(() => table({ schedule: "sigmoid" as "linear" })).toThrow(/Unknown beta schedule "sigmoid"/);
    expect(() => table({ alphasCumprod: [0.5, 0.6] })).toThrow(/ᾱ\[1\] is 0.6/);
    expect(() => table({ betas: [0.5, 1.5] })).toThrow(/beta\[1\] is 1.5/);
    expect(() => linear(0)).toThrow(/shift/);
    expect(() => ve({ sigmaMin: 2, sigmaMax: 1 })).toThrow(/sigmaMax/);
    expect(() => formFromSpec({ kind: "warp" } as never)).toThrow(/Unknown form "warp"/);
  });
});
