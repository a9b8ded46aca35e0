// Deltas and LoRAs on made-up weights: what is exact, what is refused, what scales do.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeSafetensors } from "../../src/data/safetensors.ts";
import { memorySource } from "../../src/data/source.ts";
import { indexFile } from "../../src/data/tensorIndex.ts";
import { checkBlocks, checkFit, deltaOf, fitOf, fitText, mergeDelta, scaleOf } from "../../src/diffusers/delta.ts";
import { approximate, conflictOf, conflictScore } from "../../src/diffusers/deltaLora.ts";
import { type LoraModule, loraTensors, loraUpdate, matchLora, mergeLora, readLora } from "../../src/diffusers/lora.ts";

const wave = (n: number, phase = 0) => Float32Array.from({ length: n }, (_, i) => Math.sin(1.7 * i * i + phase));

describe("delta", () => {
  it("exact: base + delta is the student, to one unit in the last place", () => {
    const float = fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e4), max: Math.fround(1e4) });
    fc.assert(
      fc.property(fc.array(fc.tuple(float, float), { minLength: 1, maxLength: 20 }), (pairs) => {
        // A float64 sum has no more digits than that.
        fc.pre(pairs.every(([b, s]) => s === 0 || Math.abs(s) > Math.abs(b) * 2 ** -29));
        const base = Float32Array.from(pairs, ([b]) => b);
        const student = Float32Array.from(pairs, ([, s]) => s);
        const { data, ulps } = deltaOf(base, student);
        expect(ulps).toBeLessThanOrEqual(1);
        // In the order of the numbers.
        const bits = (x: Float32Array) =>
          Array.from(new Int32Array(x.buffer), (bit) => (bit < 0 ? -(bit & 0x7fffffff) : bit));
        const [got, want] = [bits(mergeDelta(base, data)), bits(student)];
        got.forEach((bit, i) => {
          expect(Math.abs(bit - want[i])).toBeLessThanOrEqual(1);
        });
      }),
    );
  });
  it("float32 alone cannot, and says by how much", () => {
    const [base, student] = [Float32Array.of(1), Float32Array.of(1e-6)];
    expect(deltaOf(base, student, "float32").ulps).toBeGreaterThan(1000);
    expect(deltaOf(base, student)).toMatchObject({ dtype: "F64", ulps: 0 });
    expect(deltaOf(Float32Array.of(1), Float32Array.of(1.25))).toMatchObject({ dtype: "F32", ulps: 0 });
    expect(deltaOf(base, Float32Array.of(2 ** -40 + 2 ** -60)).ulps).toBeGreaterThan(1);
    expect(deltaOf(base, base, "float16")).toMatchObject({ dtype: "F16", ulps: 0, energy: 0 });
  });
  it("fp16 rounds the weights, the sum and the scaled delta", () => {
    const w = Float32Array.of(1 / 3);
    const d = Float32Array.of(2 ** -12);
    // 1/3 in float16 is 0x3555 = 0.333251953125; half a unit there is 2^-13.
    expect(mergeDelta(w, d, { rule: "fp16" })[0]).toBe(0.333251953125 + 2 ** -12);
    expect(mergeDelta(w, d, { rule: "fp16", scale: 0.25 })[0]).toBe(0.333251953125);
    expect(mergeDelta(w, d)[0]).toBe(Math.fround(w[0] + 2 ** -12));
    expect(() => mergeDelta(w, new Float32Array(2))).toThrow(RangeError);
  });
  it("scales of blocks: the longest name wins, part names do not match", () => {
    const blocks = new Map([
      ["up_blocks", 0.5],
      ["up_blocks.3", 0.25],
    ]);
    expect(scaleOf("up_blocks.3.resnets.0.conv1.weight", 2, blocks)).toBe(0.5);
    expect(scaleOf("up_blocks.30.x", 2, blocks)).toBe(1);
    expect(scaleOf("mid_block.x", 2, blocks)).toBe(2);
    expect(() => checkBlocks(["up_blocks.3.x"], new Map([["up_block", 1]]))).toThrow(
      /no block "up_block"; there are up_blocks.3/,
    );
  });
  it("what does not fit is listed and refused; partly, where something does", () => {
    const shapes = (all: Record<string, number[]>) => new Map(Object.entries(all).map(([k, shape]) => [k, { shape }]));
    const fit = fitOf(shapes({ a: [2], b: [3], c: [1] }), shapes({ a: [2], b: [4], d: [1] }));
    expect(fit).toEqual({
      fitting: ["a"],
      unknown: ["d"],
      misshapen: ["b [4], the base has [3]"],
      untouched: ["b", "c"].filter((n) => n === "c"),
    });
    expect(fitText(fit)).toHaveLength(3);
    const names = { base: "B", delta: "D" };
    expect(() => checkFit(fit, names)).toThrow(
      /^D is not a delta of a model like B: .*d.*b \[4\], the base has \[3\].*c/,
    );
    expect(() => checkFit(fit, names, true)).not.toThrow();
    expect(() => checkFit(fitOf(shapes({ a: [1] }), shapes({ d: [1] })), names, true)).toThrow(/^Nothing of D fits B/);
  });
});

const module = (key: string, rank: number, rows: number, columns: number, alpha = rank): LoraModule => ({
  ...{ part: "unet", key, rank, alpha, up: wave(rows * rank), down: wave(rank * columns, 2) },
  ...{ upShape: [rows, rank], downShape: [rank, columns] },
});
const weights = (names: Record<string, number[]>) =>
  new Map([["unet" as const, new Map(Object.entries(names).map(([name, shape]) => [name, { shape }]))]]);
const reread = async (tensors: Parameters<typeof writeSafetensors>[0], metadata?: Record<string, string>) =>
  readLora(await indexFile(memorySource({ f: writeSafetensors(tensors, metadata) }, "m"), "f"));
const path = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0";

describe("LoRA", () => {
  it.each(["diffusers", "kohya"] as const)("%s names: written and read again, alpha and rank kept", async (naming) => {
    const modules = [module(path, 3, 6, 5, 1.5), module("mid_block.resnets.0.conv1", 2, 4, 9)];
    const again = await reread(loraTensors(modules, naming));
    expect(again.map(({ rank, alpha }) => [rank, alpha]).sort()).toEqual([
      [2, 2],
      [3, 1.5],
    ]);
    const match = matchLora(
      again,
      weights({ [`${path}.weight`]: [6, 5], "mid_block.resnets.0.conv1.weight": [4, 1, 3, 3] }),
    );
    expect(match.unmatched).toEqual([]);
    const [found] = match.targets.get("unet")!.get(`${path}.weight`)!;
    expect(loraUpdate(found)).toEqual(loraUpdate(modules[0]));
  });
  it("other spellings: processors, no prefix, the original block names, alphas in metadata", async () => {
    const [up, down] = [
      { shape: [6, 3], data: wave(18) },
      { shape: [3, 5], data: wave(15) },
    ];
    const old = path.replace(".to_out.0", "");
    const spellings = [
      [`unet.${old}.processor.to_out_lora.up.weight`, `unet.${old}.processor.to_out_lora.down.weight`],
      [`${path}.lora_B.weight`, `${path}.lora_A.weight`],
      [`base_model.model.${path}.lora_B.default.weight`, `base_model.model.${path}.lora_A.default.weight`],
      [`unet.${path}.lora.up.weight`, `unet.${path}.lora.down.weight`],
      [`unet.${path}.lora_linear_layer.up.weight`, `unet.${path}.lora_linear_layer.down.weight`],
      ["up", "down"].map(
        (what) => `lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_out_0.lora_${what}.weight`,
      ),
    ];
    const base = weights({ [`${path}.weight`]: [6, 5], "down_blocks.1.resnets.0.conv1.weight": [1, 1, 3, 3] });
    for (const [a, b] of spellings) {
      const { targets } = matchLora(await reread({ [a]: up, [b]: down }), base, a);
      expect([...targets.get("unet")!.keys()], a).toEqual([`${path}.weight`]);
    }
    const metadata = { lora_adapter_metadata: JSON.stringify({ "unet.lora_alpha": 6, "unet.alpha_pattern": {} }) };
    const [one] = await reread({ [spellings[1][0]]: up, [spellings[1][1]]: down }, metadata);
    expect(one.alpha).toBe(6);
  });
  it("several with scales add up", () => {
    const [a, b] = [module(path, 2, 3, 4, 1), module(path, 1, 3, 4)];
    const w = wave(12, 5);
    const got = mergeLora(w, [
      { module: a, scale: 0.5 },
      { module: b, scale: -2 },
    ]);
    const [x, y] = [loraUpdate(a), loraUpdate(b)];
    got.forEach((v, i) => {
      expect(v).toBeCloseTo(w[i] + 0.5 * x[i] - 2 * y[i], 5);
    });
    // alpha / rank: element [0, 1] by hand.
    expect(x[1]).toBeCloseTo(0.5 * (a.up[0] * a.down[1] + a.up[1] * a.down[5]), 6);
  });
  it("refusals: other adapters, halves, factors that do not fit, names that match nothing", async () => {
    const t = (shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((p, q) => p * q, 1)) });
    await expect(reread({ "lora_unet_x.hada_w1_a": t([1, 1]) })).rejects.toThrow(
      /hada_w1_a.*LoHa, LoKr, DoRA.*convert it first/,
    );
    await expect(reread({ "x.lora_A.weight": t([2, 3]) })).rejects.toThrow(/no up matrix for "x"/);
    await expect(reread({ "x.lora_A.weight": t([2, 3]), "x.lora_B.weight": t([3, 1]) })).rejects.toThrow(
      /factors of "x"/,
    );
    await expect(reread({})).rejects.toThrow(/holds no tensors/);
    expect(() => matchLora([module("other", 1, 2, 2)], weights({ "a.weight": [2, 2] }), "L")).toThrow(
      /^L fits no weight of this model: none of its 1 modules was found \(unet.other\)/,
    );
    expect(
      matchLora([module("a", 1, 2, 2), module("b", 1, 2, 3)], weights({ "a.weight": [2, 2], "b.weight": [2, 2] }))
        .unmatched,
    ).toEqual(["unet.b (2 x 3, the weight is [2,2])"]);
  });
});

describe("a delta as a LoRA", () => {
  it("of enough rank it is the delta; of less it says what is lost", () => {
    const delta = loraUpdate(module("a", 3, 30, 40));
    const full = approximate("a", delta, [30, 40], 3)!;
    expect(Math.sqrt(full.lost / full.energy)).toBeLessThan(1e-6);
    loraUpdate(full.module).forEach((v, i) => {
      expect(v).toBeCloseTo(delta[i], 5);
    });
    const one = approximate("a", delta, [30, 40], 1)!;
    expect(one.lost).toBeGreaterThan(1e-3 * one.energy);
    expect(one.lost).toBeLessThan(one.energy);
    const kernel = approximate("a", delta, [30, 10, 2, 2], 3)!.module;
    expect([kernel.upShape, kernel.downShape]).toEqual([
      [30, 3, 1, 1],
      [3, 10, 2, 2],
    ]);
    expect(approximate("a", new Float32Array(6), [2, 3], 1)).toBeNull();
  });
  it("conflict: 1 with itself, -1 against its opposite, 0 where the directions differ", () => {
    const style = module("a", 2, 20, 30);
    const own = loraUpdate(style);
    const same = conflictOf(own, style);
    expect(same.overlap).toBeCloseTo(1, 9);
    expect(same.cosine).toBeCloseTo(1, 9);
    expect(
      conflictOf(
        own.map((x) => -x),
        style,
      ).cosine,
    ).toBeCloseTo(-1, 9);
    const apart = new Float64Array(600);
    apart[0] = 1;
    const elsewhere = { ...style, rank: 1, up: new Float32Array(20).fill(1, 1), down: new Float32Array(30).fill(1, 1) };
    expect(conflictOf(apart, elsewhere)).toMatchObject({ overlap: 0, cosine: 0 });
    expect(same.expected).toBeCloseTo(Math.sqrt(4 / 600), 12);
    expect(conflictScore([same, { ...same, overlap: 0, cosine: 0, weight: 3 * same.weight }]).overlap).toBeCloseTo(
      0.5,
      9,
    );
    expect(conflictScore([])).toEqual({ overlap: 0, expected: 0, cosine: 0 });
  });
});
