import { describe, expect, test } from "vitest";
import { formatProgress, progressLine } from "../../src/cli/progress.ts";
import { formatLoss, formatSeconds, formatSpeed } from "../../src/node/format.ts";

test.each([
  [0, "0 s"],
  [59.4, "59 s"],
  [59.6, "1 min 00 s"],
  [185, "3 min 05 s"],
  [3599.9, "1 h 00 min"],
  [7620, "2 h 07 min"],
  [273_600, "3 d 04 h"],
])("%d seconds are %s", (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

test.each([
  [0.01234, "0.0123"],
  [2.5, "2.5"],
  [99.96, "100"],
  [1234.5, "1,235"],
])("%d a second is %s", (speed, text) => expect(formatSpeed(speed)).toBe(text));

test.each([
  [0.012345, "0.01235"],
  [0, "0.000"],
  [3.2e-6, "3.200e-6"],
  [123456, "1.235e+5"],
  [Number.NaN, "NaN"],
])("the loss %d is %s", (loss, text) => expect(formatLoss(loss)).toBe(text));

test("a line has what is known", () => {
  expect(formatProgress("train", { done: 12_800, total: 64_000, loss: 0.0123 }, 215)).toBe(
    "train  12,800 of 64,000 images  20 %  215 images/s  3 min 58 s left  loss 0.01230",
  );
  expect(formatProgress("pairs", { done: 0, total: 10, unit: "pairs" })).toBe("pairs  0 of 10 pairs  0 %");
  expect(formatProgress("x", { done: 999, total: 1000 }, 10)).toContain("99 %");
  expect(formatProgress("x", { done: 10, total: 10 }, 5)).toBe("x  10 of 10 images  100 %  5 images/s");
});

test.each([
  [83, "perflow  12,800 of 64,000 images  20 %  215 images/s  3 min 58 s left  loss 0.01230"],
  [82, "perflow  12,800 of 64,000 images  20 %  3 min 58 s left  loss 0.01230"],
  [60, "perflow  20 %  3 min 58 s left  loss 0.01230"],
  [40, "perflow  3 min 58 s left  loss 0.01230"],
  [34, "pe…  3 min 58 s left  loss 0.01230"],
  [20, "3 min 58 s left  loss 0.01230"],
])("in %d columns time left and loss stay", (columns, line) => {
  const shown = formatProgress("perflow", { done: 12_800, total: 64_000, loss: 0.0123 }, 215, columns);
  expect(shown).toBe(line);
});

describe("progressLine", () => {
  function setUp(isTTY: boolean, columns = 200) {
    const written: string[] = [];
    const clock = { time: 0 };
    const line = progressLine({ write: (text) => written.push(text), isTTY, columns }, "train", {
      now: () => clock.time,
    });
    return { written, clock, line };
  }

  test("rewrites its line on a terminal, ten times a second at most", () => {
    const { written, clock, line } = setUp(true);
    for (let step = 0; step <= 100; step++) {
      clock.time = step / 50;
      line.update({ done: step * 10, total: 1000 });
    }
    line.end();
    expect(written.length).toBeGreaterThan(15);
    expect(written.length).toBeLessThan(25);
    for (const text of written.slice(0, -1)) {
      expect(text.startsWith("\rtrain ")).toBe(true);
      expect(text.endsWith("\x1b[K")).toBe(true);
    }
    expect(written.at(-2)).toContain("1,000 of 1,000 images  100 %  500 images/s");
    expect(written.at(-1)).toBe("\n");
  });

  test("is cut to the width of the terminal", () => {
    const { written, line } = setUp(true, 20);
    line.update({ done: 1, total: 1000 });
    expect(written).toEqual(["\rtrain  0 %\x1b[K"]);
  });

  test("writes a line now and then elsewhere, and the last one", () => {
    const { written, clock, line } = setUp(false);
    for (let second = 0; second <= 100; second++) {
      clock.time = second;
      line.update({ done: second, total: 100 });
    }
    line.end();
    line.end();
    expect(written.map((text) => text.split("  ")[1])).toEqual([0, 30, 60, 90, 100].map((n) => `${n} of 100 images`));
    for (const text of written) expect(text).toMatch(/^train[\w ,./%]*\n$/);
  });

  test("the speed is the recent one: a resumed run's earlier images and a pause do not count", () => {
    const { written, clock, line } = setUp(true);
    line.update({ done: 5000, total: 10_000 });
    clock.time = 1;
    line.update({ done: 5100, total: 10_000 });
    expect(written.at(-1)).toContain("100 images/s  49 s left");
    for (clock.time = 1000; clock.time < 1060; clock.time++) {
      line.update({ done: 5100 + (clock.time - 1000) * 10, total: 10_000 });
    }
    expect(written.at(-1)).toContain(" 10 images/s");
  });

  test("notes stand above the line", () => {
    const { written, line } = setUp(true);
    line.update({ done: 1, total: 2 });
    line.note("saved");
    line.end();
    expect(written.slice(1)).toEqual(["\rsaved\x1b[K\n", expect.stringMatching(/^\rtrain/), "\n"]);
  });
});
