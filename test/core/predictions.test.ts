import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chord,
  coefficients,
  conditioning,
  cosine,
  diffEps,
  edm,
  edmPrediction,
  edmWith,
  eps,
  type Form,
  linear,
  type Prediction,
  predictionByName,
  predictionFromSpec,
  predictionNames,
  predictionSpec,
  type Row,
  score,
  subVp,
  table,
  transfer,
  uniformWindows,
  ve,
  velocity,
  vPrediction,
  vp,
  x0,
} from "../../src/core/index.ts";

const forms: Form[] = [
  linear(),
  linear(3),
  vp(),
  cosine(),
  subVp(),
  ve(),
  edm(),
  table(),
  table({ zeroSnr: true }),
  chord(table(), uniformWindows(4)),
  chord(linear(), uniformWindows(6)),
];
const predictions: Prediction[] = [eps, x0, vPrediction, velocity, score, edmPrediction, edmWith(0.3)];
const value = ([a, b]: Row, data: number, noise: number) => a * data + b * noise;

describe("round trips, form x prediction", () => {
  const unit = fc.double({ min: 0.005, max: 0.995, noNaN: true });
  const number = fc.double({ min: -3, max: 3, noNaN: true });
  test.each(forms.map((form) => [form.name, form] as const))("%s", (_name, form) => {
    const members =
      form.windows && form.spec.kind === "chord" && form.spec.base.kind !== "linear"
        ? [...predictions, diffEps]
        : predictions;
    fc.assert(
      fc.property(
        unit,
        number,
        number,
        fc.constantFrom(...members),
        fc.constantFrom(...members),
        (t, data, noise, from, to) => {
          const x = value(form.at(t), data, noise);
          const y = value(from.row(form, t), data, noise);
          const [p, q] = coefficients(form, t, from, to.row(form, t));
          const z = p * x + q * y;
          expect(Math.abs(z - value(to.row(form, t), data, noise))).toBeLessThan(
            1e-10 * Math.max(1, Math.abs(p * x), Math.abs(q * y)),
          );
          const [p2, q2] = coefficients(form, t, to, from.row(form, t));
          expect(Math.abs(p2 * x + q2 * z - y)).toBeLessThan(1e-10 * Math.max(1, Math.abs(p2 * x), Math.abs(q2 * z)));
        },
      ),
    );
  });
});

describe("guidance", () => {
  test("is the same in any prediction type", () => {
    const n = fc.double({ min: -3, max: 3, noNaN: true });
    fc.assert(
      fc.property(
        fc.constantFrom(...forms),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        n,
        n,
        n,
        fc.double({ min: 0, max: 12, noNaN: true }),
        (form, t, x, c, none, g) => {
          const guide = (a: number, b: number) => b + g * (a - b);
          const guided = guide(c, none);
          for (const to of predictions) {
            const [p, q] = coefficients(form, t, eps, to.row(form, t));
            const there = guide(p * x + q * c, p * x + q * none);
            expect(Math.abs(there - (p * x + q * guided))).toBeLessThan(
              1e-11 * (1 + Math.abs(p * x) + 40 * Math.abs(q)) * (1 + g),
            );
          }
        },
      ),
    );
  });
  test("g = 1 + w", () => {
    const [c, none, w] = [0.7, -0.2, 2];
    expect(none + (1 + w) * (c - none)).toBeCloseTo(c + w * (c - none), 14);
  });
});

describe("transfer", () => {
  test("reading one's own row is exact, even where the read is singular", () => {
    expect(transfer([0, 1], [0, 1], [0, 1])).toEqual([1, 0]);
    expect(transfer([0.3, 0.7], [0, 1], [0.3, 0.7])).toEqual([1, 0]);
    expect(transfer([0.3, 0.7], [0, 1], [0, 1])).toEqual([0, 1]);
  });
  test("a DDIM step on the linear form is Euler on u", () => {
    const [p, q] = coefficients(linear(), 0.75, velocity, linear().at(0.5));
    expect(p).toBeCloseTo(1, 14);
    expect(q).toBeCloseTo(-0.25, 14);
  });
  test("edm is c_skip and c_out", () => {
    const form = edm();
    const t = form.tAt(-Math.log(2));
    const [p, q] = coefficients(form, t, edmWith(0.5), [1, 0]);
    expect(p).toBeCloseTo(0.25 / 4.25, 12);
    expect(q).toBeCloseTo((2 * 0.5) / Math.sqrt(4.25), 12);
  });
});

describe("singular reads are refused with prediction, form and t", () => {
  const cases: [Form, number, Prediction, Row][] = [
    [linear(), 1, eps, [1, 0]],
    [linear(), 1, eps, linear().at(0.5)],
    [linear(), 1, score, [1, 0]],
    [cosine(), 1, eps, [1, 0]],
    [table({ zeroSnr: true }), 1, eps, [1, 0]],
    [linear(), 0, x0, [0, 1]],
    [cosine(), 0, x0, [0, 1]],
    [vp(), 0, velocity, [0, 1]],
    [linear(), 0, score, [0, 1]],
  ];
  test.each(cases)("%#", (form, t, prediction, want) => {
    const message = (() => {
      try {
        coefficients(form, t, prediction, want);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        return (error as Error).message;
      }
      throw new Error(`${prediction.name} on ${form.name} at ${t} was read`);
    })();
    expect(message).toContain(prediction.name);
    expect(message).toContain(form.name);
    expect(message).toContain(`t = ${t}`);
  });
  test("v reads everything at both ends of a VP form", () => {
    expect(coefficients(cosine(), 1, vPrediction, [1, 0])).toEqual([0, -1]);
    expect(coefficients(cosine(), 0, vPrediction, [0, 1])).toEqual([0, 1]);
    expect(conditioning(linear().at(0.999), eps.row(linear(), 0.999))).toBeGreaterThan(900);
  });
  test("diff_eps needs windows and a growing alpha", () => {
    expect(() => diffEps.row(vp(), 0.5)).toThrow(/diff_eps.*vp/);
    expect(() => diffEps.row(chord(ve(), uniformWindows(2)), 0.5)).toThrow(/alpha/);
  });
});

test("predictions by name and from JSON", () => {
  for (const name of predictionNames) expect(predictionByName(name).name).toBe(name);
  expect(() => predictionByName("epsilon")).toThrow(/Unknown prediction "epsilon"/);
  const again = predictionFromSpec(JSON.parse(JSON.stringify(predictionSpec(edmWith(0.3)))));
  expect(again.row(edm(), 0.4)).toEqual(edmWith(0.3).row(edm(), 0.4));
});
