import { describe, expect, test } from "vitest";
import { openToy } from "../../src/data/open.ts";
import { toy, toyNames } from "../../src/data/toy2d.ts";
import { key } from "../../src/random.ts";

const n = 20_000;
const points = (name: (typeof toyNames)[number]) => {
  const flat = toy(name, key(3), n);
  return Array.from({ length: n }, (_, i) => [flat[2 * i], flat[2 * i + 1]] as const);
};
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe.each(toyNames)("%s", (name) => {
  test("is centered and has unit variance per coordinate on average", () => {
    const list = points(name);
    const [mx, my] = [mean(list.map(([x]) => x)), mean(list.map(([, y]) => y))];
    // The mean of 20,000 draws has a standard deviation of 0.007.
    expect(Math.hypot(mx, my)).toBeLessThan(0.03);
    expect(Math.abs(mean(list.map(([x, y]) => (x * x + y * y) / 2)) - 1)).toBeLessThan(0.02);
  });

  test("same key, same points; more points begin with the same; another key, others", () => {
    const few = toy(name, key(5), 100);
    expect(toy(name, key(5), 100)).toEqual(few);
    expect(toy(name, key(5), 200).subarray(0, 200)).toEqual(few);
    expect(toy(name, key(6), 100)).not.toEqual(few);
  });
});

test("8gaussians: eight equal clusters on a circle of radius 1.4", () => {
  const counts = new Array<number>(8).fill(0);
  for (const [x, y] of points("8gaussians")) {
    const turn = Math.atan2(y, x) / (Math.PI / 4);
    counts[(Math.round(turn) + 8) % 8]++;
    // Five standard deviations and a bit: all 20,000 must be inside.
    expect(
      Math.hypot(
        x - 1.4 * Math.cos((Math.round(turn) * Math.PI) / 4),
        y - 1.4 * Math.sin((Math.round(turn) * Math.PI) / 4),
      ),
    ).toBeLessThan(0.14 * 6);
  }
  for (const count of counts) expect(Math.abs(count - n / 8)).toBeLessThan(250);
});

test("checkerboard: eight of sixteen squares, alternating", () => {
  const scale = 2 / Math.sqrt(3);
  const filled = new Set(points("checkerboard").map(([x, y]) => `${Math.floor(x * scale)},${Math.floor(y * scale)}`));
  expect(filled.size).toBe(8);
  for (const square of filled) {
    const [column, row] = square.split(",").map(Number);
    expect(Math.abs(column + row) % 2, square).toBe(0);
  }
});

test("rings and circles lie at their radii", () => {
  const off = (name: "rings" | "circles", scale: number, radii: number[], width: number) =>
    points(name).filter(([x, y]) => !radii.some((r) => Math.abs(Math.hypot(x, y) * scale - r) < width)).length;
  expect(off("rings", 0.559, [0.25, 0.5, 0.75, 1], 0.1)).toBe(0);
  expect(off("circles", 0.613, [0.5, 1], 0.15)).toBe(0);
});

test("2spirals is symmetric about the center, spiral is not", () => {
  const asymmetry = (name: "2spirals" | "spiral") => {
    const counts = new Map<string, number>();
    for (const [x, y] of points(name)) {
      const [a, b] = [Math.floor(2 * x), Math.floor(2 * y)];
      counts.set(`${a},${b}`, (counts.get(`${a},${b}`) ?? 0) + 1);
    }
    const differences = [...counts].map(([cell, count]) => {
      const [a, b] = cell.split(",").map(Number);
      return Math.abs(count - (counts.get(`${-1 - a},${-1 - b}`) ?? 0));
    });
    return differences.reduce((a, b) => a + b, 0) / n;
  };
  expect(asymmetry("2spirals")).toBeLessThan(0.1);
  expect(asymmetry("spiral")).toBeGreaterThan(0.5);
});

describe("toy: paths", () => {
  test("name the data, and how many points", () => {
    expect(openToy("toy:moons")).toMatchObject({ size: 65536, shape: [2, 1, 1], classes: 0, name: "toy:moons" });
    const hundred = openToy("toy:moons@100");
    expect(hundred.size).toBe(100);
    expect(hundred.batch([99]).x).toEqual(toy("moons", key(0), 100).subarray(198));
    expect(openToy("toy:moons@100", { split: "test" }).batch([0]).x).not.toEqual(hundred.batch([0]).x);
  });

  test("with classes are the same points, each with the part it was drawn from", () => {
    const moons = openToy("toy:moons+classes@400");
    expect(moons).toMatchObject({ size: 400, classes: 2, name: "toy:moons+classes" });
    const all = Uint32Array.from({ length: 400 }, (_, i) => i);
    const { x, labels } = moons.batch(all);
    expect(x).toEqual(openToy("toy:moons@400").batch(all).x);
    const upper = all.filter((i) => labels[i] === 0n).length;
    expect(Math.abs(upper - 200)).toBeLessThan(60);
    // In the middle one moon is above and the other below.
    const middle = all.filter((i) => Math.abs(x[2 * i]) < 0.2);
    expect(middle.length).toBeGreaterThan(10);
    for (const i of middle) expect(labels[i]).toBe(x[2 * i + 1] > 0 ? 0n : 1n);
    const circle = openToy("toy:8gaussians+classes@800").batch(Uint32Array.from({ length: 800 }, (_, i) => i));
    for (let i = 0; i < 800; i++) {
      const turn = Math.round(Math.atan2(circle.x[2 * i + 1], circle.x[2 * i]) / (Math.PI / 4));
      expect(Number(circle.labels[i])).toBe((turn + 8) % 8);
    }
  });

  test("are refused where wrong", () => {
    expect(() => openToy("toy:spiral+classes")).toThrow(
      "The points of toy:spiral have no classes, those of 8gaussians, moons have.",
    );
    expect(() => openToy("toy:moons+labels")).toThrow('There is no toy data "moons+labels"');
    expect(() => openToy("toy:sun")).toThrow('There is no toy data "sun", expected one of 8gaussians, 25gaussians');
    expect(() => openToy("toy:toString")).toThrow('There is no toy data "toString"');
    expect(() => openToy("toy:moons@0")).toThrow('asks for "0" points, expected a whole number from 1');
    expect(() => openToy("toy:moons@many")).toThrow('asks for "many" points');
    expect(() => openToy("toy:moons", { shape: [1, 28, 28] })).toThrow("expected 1 x 28 x 28 like the model");
  });
});
