// What a network is told: columns, their absence, and the sentences about them.

import { afterAll, describe, expect, it } from "vitest";
import {
  type Column,
  type Columns,
  canBeGuided,
  checkCond,
  classCount,
  labelColumn,
  nullLabel,
  numberColumn,
  withoutData,
} from "../src/condition.ts";
import { input } from "../src/graph/index.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const text: Column = {
  shape: [2, 3],
  dtype: "float32",
  given: "data",
  none: Float32Array.of(1, 2, 3, 4, 5, 6),
};
const forced: Column = { shape: [], dtype: "float32", given: "data" };

describe("columns", () => {
  it("of labels: the last row is none, unless every row is a class", () => {
    expect(labelColumn(11)).toEqual({
      shape: [],
      dtype: "int64",
      given: "data",
      rows: 11,
      none: BigInt64Array.of(10n),
    });
    expect(labelColumn(11, { nullLabel: true })).toEqual(labelColumn(11));
    expect(labelColumn(10, { nullLabel: false })).toEqual({ shape: [], dtype: "int64", given: "data", rows: 10 });
  });

  it("of numbers are the method's, with or without a value for none", () => {
    expect(numberColumn()).toEqual({ shape: [], dtype: "float32", given: "method" });
    expect(numberColumn(0)).toEqual({ shape: [], dtype: "float32", given: "method", none: Float32Array.of(0) });
  });

  it("count classes, none not counted", () => {
    const count = (columns: Columns) => [classCount(columns), nullLabel(columns)];
    expect(count({ labels: labelColumn(11) })).toEqual([10, 10]);
    expect(count({ labels: labelColumn(10, { nullLabel: false }) })).toEqual([10, null]);
    expect(count({ text })).toEqual([0, null]);
    expect(count({})).toEqual([0, null]);
  });

  it("can be guided where something given with the data can be left out", () => {
    expect(canBeGuided({ labels: labelColumn(3) })).toBe(true);
    expect(canBeGuided({ forced, text })).toBe(true);
    const never: Columns[] = [
      {},
      { forced },
      { labels: labelColumn(3, { nullLabel: false }) },
      { span: numberColumn(0) },
    ];
    for (const not of never) expect(canBeGuided(not)).toBe(false);
  });
});

it("without the data's conditions: every one that has a none has it, for each sample; the others stay", async () => {
  const tokens: Column = { shape: [2], dtype: "int64", given: "data", none: BigInt64Array.of(7n, 8n) };
  const strength: Column = { shape: [], dtype: "float32", given: "data", none: Float32Array.of(0.5) };
  const told = { span: numberColumn(0), guidance: numberColumn() };
  const columns: Columns = { labels: labelColumn(4), text, forced, tokens, strength, ...told };
  const cond = {
    labels: input("labels", [2], "int64"),
    text: input("text", [2, 2, 3]),
    forced: input("forced", [2]),
    tokens: input("tokens", [2, 2], "int64"),
    strength: input("strength", [2]),
    span: input("span", [2]),
    guidance: input("guidance", [2]),
  };
  const without = withoutData(columns, cond, 2);
  expect(Object.keys(without)).toEqual(Object.keys(cond));
  for (const name of ["forced", "span", "guidance"] as const) expect(without[name]).toBe(cond[name]);
  expect([without.labels.dtype, without.labels.shape, without.text.shape]).toEqual(["int64", [2], [2, 2, 3]]);
  const { labels, text: texts, tokens: whole, strength: number } = without;
  const program = await runtime.compile({ labels, text: texts, tokens: whole, strength: number });
  const found = await program.run({});
  await program.dispose();
  expect([...found.labels.data]).toEqual([3n, 3n]);
  expect([...found.text.data]).toEqual([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]);
  expect([...found.tokens.data]).toEqual([7n, 8n, 7n, 8n]);
  expect([...found.strength.data]).toEqual([0.5, 0.5]);
  expect(withoutData(columns, {}, 2)).toEqual({});
});

describe("refused in a sentence", () => {
  const given = (...names: string[]) => Object.fromEntries(names.map((name) => [name, input(name, [1])]));

  it("a condition that is missing", () => {
    expect(() => checkCond({ labels: labelColumn(3) }, {})).toThrow(
      new RangeError("This network is conditioned on classes: labels [B] int64 are needed."),
    );
    expect(() => checkCond({ text, span: numberColumn(0) }, given("span"))).toThrow(
      new RangeError('This network is conditioned on "text" [B, 2, 3], which is missing.'),
    );
    expect(() => checkCond({ text, span: numberColumn(0) }, given("text"))).toThrow(
      new RangeError('This network is conditioned on "span" [B], which is missing.'),
    );
  });

  it("a condition that the network does not have", () => {
    expect(() => checkCond({}, given("labels"))).toThrow(
      new RangeError("This network has no classes: labels cannot be given."),
    );
    expect(() => checkCond({ text }, given("text", "pooled"))).toThrow(
      new RangeError('This network is not conditioned on "pooled", which was given.'),
    );
  });

  it("nothing else", () => {
    expect(() => checkCond({}, {})).not.toThrow();
    expect(() => checkCond({ text, labels: labelColumn(3) }, given("labels", "text"))).not.toThrow();
  });
});
