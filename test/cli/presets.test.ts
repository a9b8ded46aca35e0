import { expect, test } from "vitest";
import { collect } from "../../src/nn/network.ts";
import { countParams } from "../../src/nn/params.ts";
import { networkFor } from "../../src/node/presets.ts";

test.each([
  [[2, 1, 1], 0, {}, "mlp", [2], null],
  [[2, 1, 1], 3, { width: 16, depth: 1 }, "mlp", [2], 4],
  [[1, 28, 28], 10, {}, "unet2d", [1, 28, 28], 11],
  [[3, 32, 32], 10, { width: 24 }, "unet2d", [3, 32, 32], 11],
  [[3, 25, 35], 0, { width: 12, depth: 2 }, "unet2d", [3, 25, 35], null],
  [[1, 28, 28], 10, { network: "dit" }, "dit", [1, 28, 28], 11],
  [[3, 64, 32], 0, { network: "dit", width: 64, depth: 2 }, "dit", [3, 64, 32], null],
] as const)("%j with %d classes, %j: %s", (shape, classes, options, family, sampleShape, labels) => {
  const network = networkFor(shape, classes, options);
  expect(network.family).toBe(family);
  expect(network.sampleShape).toEqual(sampleShape);
  expect(network.conditions.labels?.rows ?? null).toBe(labels);
  expect(countParams(collect(network))).toBeGreaterThan(100);
});

test("a network that does not fit the data is refused", () => {
  expect(() => networkFor([2, 1, 1], 0, { network: "unet2d" })).toThrow(/unet2d does not fit .* 2 x 1 x 1. Use mlp/);
  expect(() => networkFor([3, 32, 32], 0, { network: "mlp" })).toThrow(/Use unet2d or dit/);
});
