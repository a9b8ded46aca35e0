import { expect, it } from "vitest";
import { emphasized } from "../../src/diffusers/emphasis.ts";
import { weighted } from "../../src/diffusers/prompt.ts";

const parts = (prompt: string) => emphasized(prompt).map(({ text, weight }) => [text, Number(weight.toFixed(6))]);

it("reads weights as the web UI writes them", () => {
  // The examples in the documentation of its parser, in our own arrangement.
  expect(parts("normal text")).toEqual([["normal text", 1]]);
  expect(parts("an (important) word")).toEqual([
    ["an ", 1],
    ["important", 1.1],
    [" word", 1],
  ]);
  expect(parts("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky)))")).toEqual([
    ["a ", 1],
    ["house", Number((1.3 * 1.1 * 1.1).toFixed(6))],
    [" ", 1.1],
    ["on", 1],
    [" a ", 1.1],
    ["hill", 0.55],
    [", sun, ", 1.1],
    ["sky", Number((1.1 ** 4).toFixed(6))],
  ]);
  expect(parts("[low] (high:1.5)")).toEqual([
    ["low", Number((1 / 1.1).toFixed(6))],
    [" ", 1],
    ["high", 1.5],
  ]);
});

it("takes escaped brackets, and brackets without a partner, as text or to the end", () => {
  expect(parts("\\(literal\\] \\\\")).toEqual([["(literal] \\", 1]]);
  expect(parts("(unnecessary)(parens)")).toEqual([["unnecessaryparens", 1.1]]);
  expect(parts("(unbalanced")).toEqual([["unbalanced", 1.1]]);
  expect(parts("closed) only]")).toEqual([["closed) only]", 1]]);
  expect(parts("time 12:30)")).toEqual([["time 12:30)", 1]]);
  expect(parts("")).toEqual([["", 1]]);
  expect(parts("(a [b) c]")).toEqual([
    ["a ", 1.1],
    ["b", 1],
    [" c", Number((1 / 1.1).toFixed(6))],
  ]);
});

it("refuses weights that mean nothing", () => {
  expect(() => emphasized("(a:1e9)")).not.toThrow(); // no number in this notation: text
  expect(() => emphasized("(a:1000)")).toThrow("has the weight 1000, expected at most 100");
  expect(() => emphasized("(a:1.2.3)")).toThrow('has the weight "1.2.3", expected a number');
  expect(() => emphasized(`${"(".repeat(100)}a${")".repeat(100)}`)).toThrow("expected at most 100");
});

it("grows with the prompt's length alone", () => {
  for (const one of ["[", "(a)", ":", ": 1", ":1", "\\", ")", "[a]"]) {
    const start = performance.now();
    try {
      emphasized(one.repeat(1e5 / one.length));
    } catch (error) {
      expect(String(error)).toContain("weight");
    }
    expect(performance.now() - start, JSON.stringify(one)).toBeLessThan(3000);
  }
});

it("weighs states and gives them their mean back", () => {
  const states = Float32Array.of(1, 2, 3, 4);
  expect(weighted(states, [1, 1])).toBe(states);
  const out = weighted(states, [1, 2]);
  expect(out.reduce((a, b) => a + b)).toBeCloseTo(10, 5);
  expect(out[2] / out[0]).toBeCloseTo(6, 5);
});
