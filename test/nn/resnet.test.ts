// Residual blocks and resampling against plain loops, in the variants that no golden model has.
import { describe, expect, it } from "vitest";
import { constant, type Tensor } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { collectParams, fromConstants, type ParamMap, type Params, unflatten } from "../../src/nn/params.ts";
import { downsample, type ResnetStyle, resnet, upsample } from "../../src/nn/resnet.ts";
import { key } from "../../src/random.ts";
import { normals, randomTheta, runtime } from "./helpers.ts";
import { conv, groupNorm, halve, type Image, image, map, resize, silu, zip } from "./naive.ts";

const size: Image["shape"] = [2, 4, 6, 4];
const input = normals(1, size);
const temb = normals(2, [2, 5]);
const naiveInput: Image = { shape: size, data: Float64Array.from(input) };

async function run(
  build: (p: Params) => Tensor,
): Promise<{ weights: ParamMap; y: Float32Array; shape: readonly number[] }> {
  const spec = collectParams(build);
  const weights = unflatten(spec, randomTheta(spec, 3));
  const program = await runtime.compile({ y: build(fromConstants(weights)) });
  const { y } = await program.run({});
  await program.dispose();
  return { weights, y: y.data as Float32Array, shape: y.shape };
}

const worst = (a: Float32Array, b: Image) => a.reduce((m, v, i) => Math.max(m, Math.abs(v - b.data[i])), 0);

function naiveResnet(w: ParamMap, out: number, style: ResnetStyle, resizing?: "down" | "up"): Image {
  const of = (name: string) => w.get(`r.${name}`)!.data;
  const norm = (a: Image, name: string) =>
    groupNorm(a, style.groups, of(`${name}.weight`), of(`${name}.bias`), style.eps);
  const change = (a: Image) =>
    resizing === "down" ? halve(a) : resizing === "up" ? resize(a, 2 * a.shape[2], 2 * a.shape[3]) : a;
  let h = conv(change(map(norm(naiveInput, "norm1"), silu)), of("conv1.weight"), of("conv1.bias"), 3, 1, 1);
  const time = (n: number, c: number) => {
    const [weight, bias] = [of("time_emb_proj.weight"), of("time_emb_proj.bias")];
    return [0, 1, 2, 3, 4].reduce((s, i) => {
      const t = temb[n * 5 + i];
      return s + weight[c * 5 + i] * (style.skipTimeAct ? t : silu(t));
    }, bias[c]);
  };
  if (style.timeScaleShift === "scale_shift") {
    const normed = norm(h, "norm2");
    const scale = image(h.shape, (n, c) => 1 + time(n, c));
    h = zip(
      zip(normed, scale, (v, s) => v * s),
      image(h.shape, (n, c) => time(n, out + c)),
      (v, s) => v + s,
    );
  } else
    h = norm(
      zip(
        h,
        image(h.shape, (n, c) => time(n, c)),
        (v, s) => v + s,
      ),
      "norm2",
    );
  h = conv(map(h, silu), of("conv2.weight"), of("conv2.bias"), 3, 1, 1);
  const carried = change(naiveInput);
  const shortcut =
    out === size[1] ? carried : conv(carried, of("conv_shortcut.weight"), of("conv_shortcut.bias"), 1, 0, 1);
  return zip(shortcut, h, (v, s) => (v + s) / (style.outputScale ?? 1));
}

describe("resnet", () => {
  const base: ResnetStyle = { groups: 2, eps: 1e-3, act: "silu" };
  it.each<[string, number, ResnetStyle, ("down" | "up")?]>([
    ["default", 4, base],
    ["other width", 6, base],
    ["scale and shift", 4, { ...base, timeScaleShift: "scale_shift" }],
    [
      "scale and shift, no activation of time, divided",
      6,
      { ...base, timeScaleShift: "scale_shift", skipTimeAct: true, outputScale: 1.5 },
    ],
    ["down", 4, base, "down"],
    ["up, scale and shift", 6, { ...base, timeScaleShift: "scale_shift" }, "up"],
  ])("%s", async (_, out, style, resizing) => {
    const time = constant(temb, [2, 5]);
    const { weights, y, shape } = await run((p) => resnet(p, "r", constant(input, size), time, out, style, resizing));
    const want = naiveResnet(weights, out, style, resizing);
    expect(shape).toEqual(want.shape);
    expect(worst(y, want)).toBeLessThan(1e-5);
  });

  it("refuses groups that do not divide the channels", () => {
    const x = constant(input, size);
    expect(() => collectParams((p) => resnet(p, "r", x, null, 4, { ...base, groups: 3 }))).toThrow(
      "r.norm1: 4 channels cannot be divided into 3 groups.",
    );
  });
});

describe("resampling", () => {
  it.each([0, 1])("downsample with padding %i", async (padding) => {
    const { weights, y, shape } = await run((p) => downsample(p, "d", constant(input, size), padding));
    const want = conv(
      naiveInput,
      weights.get("d.conv.weight")!.data,
      weights.get("d.conv.bias")!.data,
      3,
      padding,
      2,
      1,
    );
    expect(shape).toEqual(want.shape);
    expect(worst(y, want)).toBeLessThan(1e-5);
  });

  it.each<[number, number]>([
    [12, 8],
    [11, 8],
    [11, 7],
  ])("upsample to %i x %i", async (height, width) => {
    const { weights, y, shape } = await run((p) => upsample(p, "u", constant(input, size), [height, width]));
    const up = resize(naiveInput, height, width);
    const want = conv(up, weights.get("u.conv.weight")!.data, weights.get("u.conv.bias")!.data, 3, 1, 1);
    expect(shape).toEqual(want.shape);
    expect(worst(y, want)).toBeLessThan(1e-5);
  });
});

it("starting values are inside PyTorch's bounds", () => {
  const x = constant(input, size);
  const spec = collectParams((p) =>
    resnet(p, "r", x, constant(temb, [2, 5]), 6, { groups: 2, eps: 1e-5, act: "silu" }),
  );
  const start = unflatten(spec, initialize(spec, key(1)));
  const bound = 1 / Math.sqrt(4 * 9);
  for (const name of ["r.conv1.weight", "r.conv1.bias"]) {
    const { data } = start.get(name)!;
    expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(Math.fround(bound));
  }
  const { data } = start.get("r.conv1.weight")!;
  const variance = data.reduce((s, v) => s + v * v, 0) / data.length;
  expect(variance / (bound ** 2 / 3)).toBeGreaterThan(0.8);
  expect(variance / (bound ** 2 / 3)).toBeLessThan(1.2);
  expect([...start.get("r.norm1.weight")!.data, ...start.get("r.norm1.bias")!.data]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
});
