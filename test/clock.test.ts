// Clocks: which columns a program gets, what they hold, and how they move along time.

import { afterAll, describe, expect, it } from "vitest";
import { type Clock, clocks, derivative, times } from "../src/clock.ts";
import { eps, type Form, linear, logSnr, table, vp } from "../src/core/index.ts";
import { add, input, jvp, mul, perSample, type Tensor } from "../src/graph/index.ts";
import { inForm, type Model, networkModel } from "../src/model.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const square = (t: number) => t * t;
const values = (feeds: Record<string, Float32Array>, column: Tensor) =>
  Object.values(feeds).map((feed) => [...feed])[Object.keys(feeds).indexOf(inputName(column))];
const inputName = ({ source }: Tensor) => {
  if (source.kind !== "input") throw new Error("Expected an input.");
  return source.name;
};

describe("a clock", () => {
  it("shows a function of every sample's time, shaped to multiply a batch", () => {
    const clock = times(3);
    const [flat, image] = [clock.column(square, 1), clock.column(square, 4)];
    expect([flat.shape, image.shape]).toEqual([[3], [3, 1, 1, 1]]);
    const feeds = clock.feeds([0.5, 0.25, 1]);
    expect(values(feeds, flat)).toEqual([0.25, 0.0625, 1]);
    expect(values(feeds, image)).toEqual([0.25, 0.0625, 1]);
    expect(clock.batch).toBe(3);
  });

  it("feeds a column once, however often it is asked for", () => {
    const clock = times(2);
    expect(clock.column(square, 2)).toBe(clock.column(square, 2));
    expect(clock.column(square, 1)).not.toBe(clock.column(square, 2));
    expect(clock.column(square, 1)).toBe(clock.column(square, 1));
    expect(clock.column((t) => t * t, 2)).not.toBe(clock.column(square, 2));
    expect(Object.keys(clock.feeds([0, 1]))).toEqual(["t.0", "t.1", "t.2"]);
    expect(Object.keys(times(1, "s").feeds([1]))).toEqual([]);
    expect(inputName(times(1, "s").column(square, 1))).toBe("s.0");
  });

  it("that is moved shows other times, and so do clocks moved from it", () => {
    const clock = times(2);
    const half = clock.at((t) => t / 2);
    // Inside out: the last move is applied first to what the clock before it shows.
    const later = half.at((t) => t + 1);
    const columns = [clock, half, later].map((c) => c.column(square, 1));
    const feeds = clock.feeds([0.5, 1]);
    expect(columns.map((column) => values(feeds, column))).toEqual([
      [0.25, 1],
      [0.0625, 0.25],
      [1.5625, 2.25],
    ]);
    expect([half.batch, later.batch]).toEqual([2, 2]);
    // A column of a moved clock is not the unmoved one, nor the other way round.
    const other = times(1);
    const moved = other.at((t) => 1 - t).column(square, 1);
    expect(other.column(square, 1)).not.toBe(moved);
    expect(other.at((t) => 1 - t).column(square, 1)).not.toBe(other.column(square, 1));
  });

  it("refuses times for another batch", () => {
    expect(() => times(2).feeds([0.5])).toThrow('Got 1 times "t" for a batch of 2.');
  });
});

describe("several clocks", () => {
  it("have times of their own, by name, and each name is one clock", () => {
    const all = clocks(2);
    const [t, s] = [all.clock("t"), all.clock("s")];
    expect([all.clock("t"), all.batch]).toEqual([t, 2]);
    expect(all.clock("t")).toBe(t);
    const [a, b] = [t.column(square, 1), s.column(square, 1)];
    const feeds = all.feeds({ t: [1, 2], s: [3, 4] });
    expect([values(feeds, a), values(feeds, b)]).toEqual([
      [1, 4],
      [9, 16],
    ]);
    expect(clocks(1, "z").clock("a").column(square, 1).source).toMatchObject({ name: "z.0" });
  });

  it("with: a column of several times, the own one first", () => {
    const all = clocks(2);
    const [t, s, r] = ["t", "s", "r"].map((name) => all.clock(name));
    const column = t.at((x) => 10 * x).with([s, r.at((x) => -x)], (a, b, c) => a + 100 * b + 1000 * c, 4);
    expect(column.shape).toEqual([2, 1, 1, 1]);
    expect(values(all.feeds({ t: [1, 2], s: [3, 4], r: [5, 6] }), column)).toEqual([10 + 300 - 5000, 20 + 400 - 6000]);
  });

  it("shows: what a clock shows for drawn times", () => {
    const all = clocks(1);
    expect(all.clock("t").shows({ t: 0.25, s: 9 })).toBe(0.25);
    const moved = all
      .clock("s")
      .at((x) => x + 1)
      .at((x) => 2 * x);
    expect(moved.shows({ t: 0.25, s: 9 })).toBe(20);
  });

  it("refuse a name without times, and times of another number", () => {
    const all = clocks(2);
    all.clock("t");
    all.clock("s");
    expect(() => all.feeds({ t: [1, 2] })).toThrow('Got no times "s" for a batch of 2.');
    expect(() => all.feeds({ t: [1, 2], s: [1, 2, 3] })).toThrow('Got 3 times "s" for a batch of 2.');
  });
});

it("a derivative is right to eight digits inside and at both ends of the unit interval", () => {
  const slope = derivative((t) => Math.exp(2 * t) + t ** 3);
  for (const t of [1e-6, 1e-3, 0.001465, 0.25, 0.5, 0.99, 0.9995, 1]) {
    const exact = 2 * Math.exp(2 * t) + 3 * t * t;
    expect(Math.abs(slope(t) / exact - 1), `t = ${t}`).toBeLessThan(1e-8);
  }
  // Never read outside [0, 1], where a form may be singular or not be there.
  const bounded = derivative((t) => (t < 0 || t > 1 ? Number.NaN : t));
  for (let k = 0; k <= 1000; k++) expect(bounded(k / 1000)).toBeCloseTo(1, 9);
});

it("a derivative is never read outside its span: a table's SNR ends before pure noise, and so does a form that is read by it", () => {
  const diffusers = table();
  const told = linear();
  const [tMin, tMax] = [diffusers.tMin, diffusers.tMax].map((t) => told.tAt(logSnr(diffusers, t)));
  const native = (t: number) => diffusers.tAt(logSnr(told, t));
  expect(() => derivative(native)(tMax)).toThrow("No time of the form table has half log-SNR");
  for (const t of [tMin, tMin + 1e-4, tMax - 1e-4, tMax]) {
    const slope = derivative(native, { tMin, tMax })(t);
    expect(slope, `t = ${t}`).toBeGreaterThan(0);
    expect(Number.isFinite(slope)).toBe(true);
  }
});

describe("a moving clock", () => {
  const ts = [0.15, 0.4, 0.85];
  const B = ts.length;
  /** d/dt of `make` on a moving clock, against `exact`; and its values against `value`. */
  async function along(
    make: (clock: Clock, x: Tensor) => Tensor,
    value: (t: number, x: number) => number,
    exact: (t: number, x: number) => number,
    digits = 4,
  ) {
    const clock = times(B);
    const moving = clock.moving();
    const x = input("x", [B, 1]);
    const y = make(moving.clock, x);
    const { columns, rates } = moving.columns();
    expect(rates.length).toBe(columns.length);
    const [dy] = jvp([y], [...columns], [...rates]);
    const program = await runtime.compile({ y, dy });
    const xs = Float32Array.of(0.5, -1.5, 2);
    const found = await program.run({ x: xs, ...clock.feeds(ts) });
    await program.dispose();
    const wanted = (f: typeof value) => ts.map((t, i) => expect.closeTo(f(t, xs[i]), digits));
    expect([...(found.y.data as Float32Array)]).toEqual(wanted(value));
    expect([...(found.dy.data as Float32Array)]).toEqual(wanted(exact));
  }
  const sin = (t: number) => Math.sin(3 * t);

  it("has the analytic derivative of what its columns compute", async () => {
    await along(
      (clock, x) => add(mul(clock.column(sin, 2), x), mul(clock.column(sin, 2), clock.column(square, 2))),
      (t, x) => sin(t) * x + sin(t) * t * t,
      (t, x) => 3 * Math.cos(3 * t) * (x + t * t) + sin(t) * 2 * t,
    );
  });

  it("moved, by the chain rule, also moved again", async () => {
    const move = (t: number) => 1 - t ** 3 / 2;
    await along(
      (clock, x) => {
        const moved = clock.at((t) => t ** 3).at((t) => 1 - t / 2);
        return mul(moved.column(sin, 2), x);
      },
      (t, x) => sin(move(t)) * x,
      (t, x) => 3 * Math.cos(3 * move(t)) * (-3 / 2) * t * t * x,
    );
  });

  it("with other clocks, which stand still", async () => {
    const all = clocks(B);
    const [t, s] = [all.clock("t"), all.clock("s")];
    const moving = t.moving();
    const later = moving.clock.at((x) => x * x);
    const y = later.with([s], (a, b) => a * b + b ** 2, 2);
    const { columns, rates } = moving.columns();
    const [dy] = jvp([y], [...columns], [...rates]);
    const program = await runtime.compile({ y, dy });
    const given = [0.9, 0.2, 0.5];
    const found = await program.run(all.feeds({ t: ts, s: given }));
    await program.dispose();
    const close = (f: (t: number, s: number) => number) => ts.map((t, i) => expect.closeTo(f(t, given[i]), 5));
    expect([...(found.y.data as Float32Array)]).toEqual(close((t, s) => t * t * s + s * s));
    expect([...(found.dy.data as Float32Array)]).toEqual(close((t, s) => 2 * t * s));
  });

  it("with clocks that move with it, by the sum of both ways; one of another watch stands still", async () => {
    const fourth = (clock: Clock) => clock.at((t) => t ** 3).at((t) => t * t + 1);
    const f = (a: number, b: number) => a * a * b;
    await along(
      (clock, x) => mul(clock.at((t) => 2 * t).with([fourth(clock)], f, 2), x),
      (t, x) => f(2 * t, t ** 6 + 1) * x,
      (t, x) => (8 * t * (t ** 6 + 1) + 4 * t * t * 6 * t ** 5) * x,
      3,
    );
    await along(
      (clock, x) =>
        mul(
          clock.with([clock, clock.moving().clock], (a, b, c) => a * b * c, 2),
          x,
        ),
      (t, x) => t ** 3 * x,
      (t, x) => 2 * t * t * x,
    );
  });

  it("through a model that is told the time and reads another form", async () => {
    const echo = { sampleShape: [1], conditions: {} };
    const told: Model<null> = networkModel<null>(
      { ...echo, apply: (_, x, tau) => add(mul(x, 2), perSample(mul(tau, tau), 2)) },
      vp(),
      eps,
      { scale: 3, offset: -1 },
    );
    const to = linear();
    const native = (t: number) => vp().tAt(logSnr(to, t));
    const size = (t: number) => Math.hypot(...vp().at(native(t))) / Math.hypot(...to.at(t));
    const tau = (t: number) => 3 * native(t) - 1;
    await along(
      (clock, x) => inForm(told, to).apply(null, x, clock, {}),
      (t, x) => 2 * x * size(t) + tau(t) ** 2,
      (t, x) => 2 * x * fine(size)(t) + 2 * tau(t) * fine(tau)(t),
      3,
    );
  });

  it("along the states of a table, which is smooth between its entries", async () => {
    const form: Form = table();
    // Inside one interval of the table, whose log-SNR is a line in t.
    await along(
      (clock, x) =>
        mul(
          clock.column((t) => form.at(t)[0], 2),
          x,
        ),
      (t, x) => form.at(t)[0] * x,
      (t, x) => form.rate(t)[0] * x,
      2,
    );
  });

  it("has columns of its own: what the ordinary clock made does not move", async () => {
    const clock = times(B);
    const still = clock.column(square, 2);
    const moving = clock.moving();
    const column = moving.clock.column(square, 2);
    expect(column).not.toBe(still);
    expect(clock.column(square, 2)).toBe(still);
    expect(moving.clock.column(square, 2)).toBe(column);
    const feeds = () => clock.feeds(ts);
    expect(values(feeds(), column)).toEqual(values(feeds(), still));
    // Rates do not move themselves, and two watched clocks are two.
    const { columns, rates } = moving.columns();
    expect([columns, rates.length]).toEqual([[column], 1]);
    expect(values(feeds(), rates[0])).toEqual(ts.map((t) => expect.closeTo(2 * t, 6)));
    expect(clock.moving().columns().columns).toEqual([]);
    const y = mul(column, still);
    const [dy] = jvp([y], [column], [rates[0]]);
    const program = await runtime.compile({ y, dy });
    const found = await program.run(feeds());
    await program.dispose();
    expect([...(found.dy.data as Float32Array)]).toEqual(ts.map((t) => expect.closeTo(2 * t * t * t, 5)));
  });

  it("shows what its clock shows", () => {
    const clock = times(1);
    expect(
      clock
        .moving()
        .clock.at((t) => 2 * t)
        .shows({ t: 0.25 }),
    ).toBe(0.5);
    expect(clock.moving().clock.batch).toBe(1);
  });
});

/** A derivative by central differences, in float64. */
const fine = (f: (t: number) => number) => (t: number) => (f(t + 1e-5) - f(t - 1e-5)) / 2e-5;
