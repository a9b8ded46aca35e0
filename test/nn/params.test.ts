// Parameters: order, packing, and every way in which weights can fail to fit.
import { describe, expect, it } from "vitest";
import { input, sum } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { linear } from "../../src/nn/layers.ts";
import {
  checkNames,
  collectParams,
  countParams,
  flatten,
  fromConstants,
  fromFlat,
  type ParamArray,
  type Params,
  tapped,
  unflatten,
  within,
} from "../../src/nn/params.ts";
import { modernName, toParams } from "../../src/nn/weights.ts";
import { key } from "../../src/random.ts";
import { normals, runtime } from "./helpers.ts";

const x = input("x", [2, 3]);
const build = (p: Params) => linear(p, "b", linear(p, "a", x, 4), 2, { bias: false });
const spec = collectParams(build);

describe("collectParams", () => {
  it("lists names, shapes and starts in order of first use", () => {
    expect(spec).toEqual([
      { name: "a.weight", shape: [4, 3], init: "default" },
      { name: "a.bias", shape: [4], init: { uniform: 1 / Math.sqrt(3) } },
      { name: "b.weight", shape: [2, 4], init: "default" },
    ]);
    expect(countParams(spec)).toBe(24);
  });

  it("refuses one name with two shapes", () => {
    expect(() => collectParams((p) => [p("w", [2]), p("w", [3])])).toThrow(
      "Parameter w is used with shape [2] and with shape [3].",
    );
  });
});

describe("packing", () => {
  const theta = normals(1, [24]);
  it("unflatten and flatten are inverse", () => {
    expect(flatten(spec, unflatten(spec, theta))).toEqual(theta);
    expect(() => unflatten(spec, new Float32Array(23))).toThrow("has 23 values, expected 24");
  });

  it("the flat vector and constants give the same network", async () => {
    const flat = input("theta", [24]);
    const program = await runtime.compile({
      fromFlat: build(fromFlat(spec, flat)),
      fromConstants: build(fromConstants(unflatten(spec, theta))),
    });
    const result = await program.run({ theta, x: normals(2, [2, 3]) });
    await program.dispose();
    const difference = sumOf(result.fromFlat.data as Float32Array, result.fromConstants.data as Float32Array);
    expect(difference).toBeLessThan(1e-6);
    expect(() => fromFlat(spec, input("short", [7]))).toThrow("has shape [7], expected [24]");
  });

  it("refuses weights that do not fit", () => {
    const arrays = unflatten(spec, theta);
    const lacking = new Map([...arrays].slice(1));
    expect(() => flatten(spec, lacking)).toThrow("The weights lack a.weight;");
    expect(() => checkNames(spec, [...arrays.keys(), "c.weight"])).toThrow("The weights hold c.weight, which");
    expect(() => build(fromConstants(lacking))).toThrow(
      "Parameter a.weight with shape [4,3] is missing from the weights.",
    );
    const wrong = new Map<string, ParamArray>([...arrays, ["a.bias", { shape: [5], data: new Float32Array(5) }]]);
    expect(() => flatten(spec, wrong)).toThrow("Parameter a.bias has shape [5], expected [4]");
  });
});

describe("initialize", () => {
  it("gives a parameter the same values in any order, and other values under another name or seed", () => {
    const ahead = unflatten(spec, initialize(spec, key(5)));
    const reversed = [...spec].reverse();
    const back = unflatten(reversed, initialize(reversed, key(5)));
    for (const { name } of spec) expect(back.get(name)).toEqual(ahead.get(name));
    expect(initialize(spec, key(6))).not.toEqual(initialize(spec, key(5)));
  });

  it("follows every kind of start", () => {
    const kinds = collectParams((p) => [p("z", [3], "zeros"), p("o", [3], "ones"), p("n", [4000], { normal: 3 })]);
    const values = unflatten(kinds, initialize(kinds, key(1)));
    expect([...values.get("z")!.data, ...values.get("o")!.data]).toEqual([0, 0, 0, 1, 1, 1]);
    const { data } = values.get("n")!;
    expect(Math.sqrt(data.reduce((s, v) => s + v * v, 0) / 4000)).toBeCloseTo(3, 0);
  });
});

it("prefixes and observers see full names", () => {
  const names: string[] = [];
  const p = tapped(
    (_, shape) => input("w", shape),
    (name) => names.push(name),
  );
  sum(linear(within(p, "encoder."), "fc", x, 2));
  expect(names).toEqual(["encoder.fc"]);
});

describe("weights from files", () => {
  it("renames the attention of older files and makes its convolutions matrices", () => {
    expect(modernName("mid_block.attentions.0.proj_attn.bias")).toBe("mid_block.attentions.0.to_out.0.bias");
    expect(modernName("mid_block.attentions.0.group_norm.bias")).toBe("mid_block.attentions.0.group_norm.bias");
    const old = new Map([
      ["up_blocks.1.attentions.2.query.weight", { shape: [2, 2, 1, 1], data: new Float32Array(4) }],
    ]);
    expect([...toParams(old)].map(([name, { shape }]) => [name, shape])).toEqual([
      ["up_blocks.1.attentions.2.to_q.weight", [2, 2]],
    ]);
  });

  it("refuses integers", () => {
    const ids = new Map([["position_ids", { shape: [1], data: new BigInt64Array(1) }]]);
    expect(() => toParams(ids)).toThrow("Weight position_ids is not stored as floats");
  });
});

const sumOf = (a: Float32Array, b: Float32Array) => a.reduce((s, v, i) => s + Math.abs(v - b[i]), 0);
