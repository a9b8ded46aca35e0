import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arrayDataset, batches, imageDataset } from "../../src/data/dataset.ts";
import { key } from "../../src/random.ts";

const shape = [1, 1, 2] as const;

describe("imageDataset", () => {
  const dataset = imageDataset({ name: "d", pixels: Uint8Array.of(0, 255, 51, 204, 1, 2), shape, labels: [3, 0, 1] });

  test("bytes become [-1, 1], labels bigints, in the order asked for", () => {
    const { x, labels } = dataset.batch([1, 0, 1]);
    const expected = [51, 204, 0, 255, 51, 204].map((v) => Math.fround(v / 127.5 - 1));
    expect([...x]).toEqual(expected);
    expect(expected[2]).toBe(-1);
    expect(expected[3]).toBe(1);
    expect([...labels]).toEqual([0n, 3n, 0n]);
    expect(dataset).toMatchObject({ size: 3, classes: 4, shape });
  });

  test("without labels there are no classes and labels are zero", () => {
    const plain = imageDataset({ name: "d", pixels: new Uint8Array(4), shape });
    expect(plain.classes).toBe(0);
    expect([...plain.batch([0, 1]).labels]).toEqual([0n, 0n]);
  });

  test.each([-1, 3, 0.5, Number.NaN])("sample %s is refused", (index) => {
    expect(() => dataset.batch([index])).toThrow(`Sample ${index} of d was asked for, expected 0 to 2.`);
  });

  test("arrays that do not fit are refused", () => {
    expect(() => imageDataset({ name: "d", pixels: new Uint8Array(0), shape })).toThrow("d has no images.");
    expect(() => imageDataset({ name: "d", pixels: new Uint8Array(5), shape })).toThrow("expected a multiple of 2");
    expect(() => imageDataset({ name: "d", pixels: new Uint8Array(4), shape, labels: [1] })).toThrow(
      "d has 1 labels for 2 images",
    );
    expect(() => imageDataset({ name: "d", pixels: new Uint8Array(2), shape, labels: [5], classes: 3 })).toThrow(
      "d has the label 5, expected labels 0 to 2.",
    );
  });
});

describe("batches", () => {
  const dataset = arrayDataset(
    "numbers",
    Float32Array.from({ length: 10 }, (_, i) => i),
    [1, 1, 1],
  );

  test("every epoch has every sample once, in an order of its own", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 25 }), fc.nat(), (batch, seed) => {
        const stream = batches(dataset, key(seed), batch);
        const steps = Math.ceil(30 / batch);
        const seen = Array.from({ length: steps }, (_, step) => [...stream.indicesAt(step)]).flat();
        const epochs = [0, 10, 20].map((start) => seen.slice(start, start + 10));
        for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      }),
      { numRuns: 50 },
    );
    const first = [...batches(dataset, key(1), 10).indicesAt(0)];
    expect([...batches(dataset, key(1), 10).indicesAt(1)]).not.toEqual(first);
    expect([...batches(dataset, key(2), 10).indicesAt(0)]).not.toEqual(first);
  });

  test("a step's batch does not depend on what was asked before", () => {
    const through = batches(dataset, key(7), 4);
    const all = Array.from({ length: 12 }, (_, step) => through.batchAt(step));
    const resumed = batches(dataset, key(7), 4);
    for (const step of [11, 3, 4, 0]) expect(resumed.batchAt(step)).toEqual(all[step]);
  });

  test("a batch size below one is refused", () => {
    expect(() => batches(dataset, key(0), 0)).toThrow("The batch size is 0, expected at least 1.");
    expect(() => batches(dataset, key(0), 2.5)).toThrow("The batch size is 2.5");
  });
});
