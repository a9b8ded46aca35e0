// PeRFlow's constants and the analytic recipe gates: an ideal student on its own form hits the teacher's endpoint.
import { describe, expect, test } from "vitest";
import {
  chord,
  coefficients,
  cosine,
  diffEps,
  eps,
  type Form,
  linear,
  type Prediction,
  type Row,
  subVp,
  table,
  uniformWindows,
  ve,
  velocity,
  vp,
  windowGrid,
} from "../../src/core/index.ts";

const teacher = table();
const perflow = chord(teacher, uniformWindows(4));

describe("PeRFlow constants", () => {
  // start, lambda, eta of ddim_eps and diff_eps: the read at the window's end
  const windows = [
    [1, 0.75, 3.48578642, -2.50637917, -3.33926743],
    [0.75, 0.5, 2.21445003, -1.30094133, -1.97580083],
    [0.5, 0.25, 1.55964854, -0.75583727, -1.19687241],
    [0.25, 0, 1.21625432, -0.66375547, -0.6922966],
    [0.875, 0.75, 1.5541472975, -0.558737964, -0.7444107049],
    [0.625, 0.5, 1.3778095836, -0.4047166124, -0.6146621703],
    [0.375, 0.25, 1.2186427275, -0.2952894737, -0.4675924802],
    [0.125, 0, 1.0975764926, -0.2994942676, -0.3123723621],
    [0.9, 0.75, 1.7478618856, -0.7540573223, Number.NaN],
  ];
  test.each(windows)("t = %d to %d", (t, end, lambda, ddim, diff) => {
    const [p, q] = coefficients(perflow, t, eps, perflow.at(end));
    expect(Math.abs(p - lambda)).toBeLessThan(6e-9);
    expect(Math.abs(q - ddim)).toBeLessThan(6e-9);
    if (!Number.isNaN(diff)) {
      const [p2, q2] = coefficients(perflow, t, diffEps, perflow.at(end));
      expect(Math.abs(p2 - lambda)).toBeLessThan(6e-9);
      expect(Math.abs(q2 - diff)).toBeLessThan(6e-9);
    }
  });

  test("targets of a segment z_s = 1.3, z_e = 0.9 in window 1", () => {
    const target = (prediction: Prediction) =>
      segment(perflow.at(1), perflow.at(0.75), prediction.row(perflow, 0.9), 1.3, 0.9);
    expect(target(eps)).toBeCloseTo(1.4489117965, 9);
    expect(target(diffEps)).toBeCloseTo(1.0875206683, 9);
    expect(target(velocity)).toBeCloseTo(1.6, 9);
    expect(segment(perflow.at(1), perflow.at(0.75), perflow.at(0.9), 1.3, 0.9)).toBeCloseTo(1.14, 12);
    // The same pair on the teacher's own form, compared at the window's end.
    for (const [n, x, weight] of [
      [899, 1.1835931432, 1.00443369],
      [800, 1.0126006115, 0.2449286429],
      [750, 0.9023745183, 0.0041487043],
    ]) {
      const t = (n + 1) / 1000;
      const state = segment(teacher.at(1), teacher.at(0.75), teacher.at(t), 1.3, 0.9);
      expect(state).toBeCloseTo(x, 9);
      const [p, q] = coefficients(teacher, t, eps, teacher.at(0.75));
      expect(-q).toBeCloseTo(weight, 8);
      expect(p * state + q * 1.4489117965).toBeCloseTo(0.9, 9);
    }
  });

  test("constant output 0.5 from 1.0: independent of the number of steps", () => {
    const run = (prediction: Prediction, steps: number) => {
      const grid = windowGrid(uniformWindows(4), steps);
      const edges = new Map<number, number>();
      let x = 1;
      for (let i = 0; i + 1 < grid.length; i++) {
        const [p, q] = coefficients(perflow, grid[i], prediction, perflow.at(grid[i + 1]));
        x = p * x + q * 0.5;
        edges.set(grid[i + 1], x);
      }
      return [0.75, 0.5, 0.25, 0].map((t) => edges.get(t) ?? Number.NaN);
    };
    for (const steps of [4, 5, 8]) {
      for (const [prediction, values] of [
        [eps, [2.2325968373, 4.2935034607, 6.3184377601, 7.3529495118]],
        [diffEps, [1.8161527072, 3.0338789944, 4.1333487336, 4.6810549693]],
        [velocity, [0.875, 0.75, 0.625, 0.5]],
      ] as const) {
        run(prediction, steps).forEach((x, i) => {
          expect(x).toBeCloseTo(values[i], 9);
        });
      }
    }
  });
});

/** Reads `want` from two known read-outs of one pair. */
function segment(have: Row, pred: Row, want: Row, x: number, y: number): number {
  const d = have[0] * pred[1] - have[1] * pred[0];
  return ((want[0] * pred[1] - want[1] * pred[0]) * x + (have[0] * want[1] - have[1] * want[0]) * y) / d;
}

// Data N(m, s²): (x_t - alpha·m)/S(t) is constant on the teacher's trajectories, with S² = alpha²s² + sigma².
const [m, s] = [0.5, 0.3];
const mean = (row: Row) => row[0] * m;
const spread = ([alpha, sigma]: Row) => Math.hypot(alpha * s, sigma);

/** What an ideal windowed student predicts at (x, t): the pair implied by the teacher's window ends. */
function ideal(base: Form, student: Form, count: number, prediction: Prediction) {
  const windows = uniformWindows(count);
  return (x: number, t: number): number => {
    const { start, end } = windows.of(t);
    const [a, b] = [base.at(start), base.at(end)];
    const center = segment(a, b, student.at(t), mean(a), mean(b));
    const width = segment(a, b, student.at(t), spread(a), spread(b));
    const xi = (x - center) / width;
    return segment(a, b, prediction.row(student, t), mean(a) + spread(a) * xi, mean(b) + spread(b) * xi);
  };
}

function sample(
  form: Form,
  grid: readonly number[],
  prediction: Prediction,
  net: (x: number, t: number) => number,
  start: number,
) {
  let x = start;
  for (let i = 0; i + 1 < grid.length; i++) {
    const [p, q] = coefficients(form, grid[i], prediction, form.at(grid[i + 1]));
    x = p * x + q * net(x, grid[i]);
  }
  return x;
}

const endpoint = (form: Form, start: number) =>
  mean(form.at(0)) + (spread(form.at(0)) * (start - mean(form.at(1)))) / spread(form.at(1));

describe("ideal students hit the teacher's endpoint", () => {
  const bases = [table(), linear(), linear(3), vp(), cosine(), subVp(), ve(), table({ zeroSnr: true })];
  for (const base of bases) {
    for (const count of [1, 2, 3, 4, 8]) {
      const windows = uniformWindows(count);
      const straight = chord(base, windows);
      for (const perWindow of [1, 2, 3]) {
        const grid = windowGrid(windows, perWindow * count);
        const x = 1.2 * base.at(1)[1];
        const exact = endpoint(base, x);
        const singularStart = base.at(1)[0] === 0; // eps says nothing at pure noise: these need u
        const name = `${base.name}, K = ${count}, ${perWindow} steps per window`;
        test(`PeRFlow: ${name}`, () => {
          for (const prediction of singularStart ? [velocity] : [eps, velocity]) {
            expect(
              Math.abs(sample(straight, grid, prediction, ideal(base, straight, count, prediction), x) - exact),
            ).toBeLessThan(1e-11);
          }
        });
        if (singularStart) continue;
        test(`phased: ${name}`, () => {
          expect(Math.abs(sample(base, grid, eps, ideal(base, base, count, eps), x) - exact)).toBeLessThan(1e-11);
        });
        if (base.name === "table" && perWindow > 1) {
          test(`wrong form misses: ${name}`, () => {
            const net = ideal(base, straight, count, eps);
            expect(Math.abs(sample(base, grid, eps, net, x) - exact)).toBeGreaterThan(1e-3);
            const one = windowGrid(windows, count);
            expect(Math.abs(sample(base, one, eps, net, x) - exact)).toBeLessThan(1e-11); // invisible at one step per window
          });
        }
      }
    }
  }

  test("ideal Rectified Diffusion student: the same endpoint for every number of steps", () => {
    const net = (x: number, t: number) => {
      const [alpha, sigma] = teacher.at(t);
      return (x - alpha * m) / (alpha * s + sigma);
    };
    for (const steps of [1, 2, 4, 25]) {
      const grid = Array.from({ length: steps + 1 }, (_, i) => 1 - i / steps);
      expect(sample(teacher, grid, eps, net, 1)).toBeCloseTo(0.8119200023, 9);
      expect(sample(teacher, grid, eps, net, 1.0522791612)).toBeCloseTo(0.8288146872, 9);
    }
  });

  test("the teacher itself, DDIM trailing", () => {
    const net = (x: number, t: number) => {
      const [alpha, sigma] = teacher.at(t);
      return (sigma * (x - alpha * m)) / (alpha ** 2 * s ** 2 + sigma ** 2);
    };
    for (const [steps, end] of [
      [1, 0.5339579224],
      [2, 0.5795322392],
      [4, 0.6363919654],
      [8, 0.6883122047],
      [25, 0.7469064448],
    ]) {
      const grid = Array.from({ length: steps + 1 }, (_, i) => 1 - i / steps);
      expect(sample(teacher, grid, eps, net, 1)).toBeCloseTo(end, 9);
    }
    expect(endpoint(teacher, 1)).toBeCloseTo(0.7914092136, 9);
  });

  test("window constants c, A, B", () => {
    const c = [0.9992470164, 0.9932546642, 0.9625213591, 0.6835783651];
    const middle = [0.2264726155, 0.1175399625, -0.0482122085, -0.2303493174];
    const start = [0.2662324533, 0.1846198863, 0.0406709804, -0.1221463334];
    const net = ideal(teacher, perflow, 4, eps);
    c.forEach((_, i) => {
      expect(net(0.3, 1 - (i + 0.5) / 4)).toBeCloseTo(middle[i], 9);
      expect(net(0.3, 1 - i / 4)).toBeCloseTo(start[i], 9);
    });
  });
});

test("wrong form by name: K = 4, 3 steps per window misses by about 0.1 in the published check's size", () => {
  const net = ideal(teacher, perflow, 4, eps);
  const miss = Math.abs(sample(teacher, windowGrid(uniformWindows(4), 12), eps, net, 1) - endpoint(teacher, 1));
  expect(miss).toBeGreaterThan(0.02);
  expect(miss).toBeLessThan(0.5);
});
