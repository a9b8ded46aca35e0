import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, TensorShapeProto_DimensionSchema } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { constant, conv2d, emitModel, input, mean, relu, type Tensor } from "../../src/graph/index.ts";
import { operator } from "../../src/graph/tensor.ts";
import { sha256 } from "../../src/hash.ts";
import { foreignFeatures, inBatches } from "../../src/metrics/features.ts";
import { resizeBilinear } from "../../src/metrics/resize.ts";
import { key, normal } from "../../src/random.ts";
import { openForeign } from "../../src/runtime/foreign.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { OrtModule } from "../../src/runtime/runtime.ts";

const onnx = ort as unknown as OrtModule;
const kernel = normal(key(1), 4 * 3 * 3 * 3);

/** A small network as an .onnx file: convolution, ReLU, mean over the picture. [batch, 3, 8, 8] to [batch, 4]. */
const network = (x: Tensor): Tensor => mean(relu(conv2d(x, constant(kernel, [4, 3, 3, 3]))), [2, 3], true);
const file = (batch: number) => emitModel({ pool: network(input("image", [batch, 3, 8, 8])) }, "cpu").bytes;

/** The same file with its batch left open, as exporters do. */
function open(bytes: Uint8Array): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  for (const info of [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])])
    if (info.type?.value.case === "tensorType" && info.type.value.value.shape)
      info.type.value.value.shape.dim[0] = create(TensorShapeProto_DimensionSchema, {
        value: { case: "dimParam", value: "N" },
      });
  return toBinary(ModelProtoSchema, model);
}

/** What the network computes, by hand. x [n, 3, 8, 8] */
function expected(x: Float32Array, n: number): Float32Array {
  const out = new Float32Array(n * 4);
  for (let b = 0; b < n; b++)
    for (let o = 0; o < 4; o++) {
      let total = 0;
      for (let i = 0; i < 6; i++)
        for (let j = 0; j < 6; j++) {
          let sum = 0;
          for (let c = 0; c < 3; c++)
            for (let k = 0; k < 9; k++)
              sum += kernel[(o * 3 + c) * 9 + k] * x[((b * 3 + c) * 8 + i + Math.floor(k / 3)) * 8 + j + (k % 3)];
          total += Math.max(0, sum);
        }
      out[b * 4 + o] = total / 36;
    }
  return out;
}

const images = normal(key(2), 5 * 3 * 64).map((x) => x / 3);
const plain = { name: "tiny", images: [3, 8, 8], range: "-1..1", rounded: false } as const;

describe("a feature network from an .onnx file", () => {
  for (const [how, bytes] of [
    ["with a fixed batch", file(2)],
    ["with an open batch", open(file(2))],
  ] as const)
    it(`${how} runs over any number of images`, async () => {
      const features = await foreignFeatures(await openForeign(onnx, bytes), { ...plain, batch: 3 });
      expect(features.dim).toBe(4);
      expectClose(await features.apply(images, 5), expected(images, 5));
      expect(features.protocol).toEqual({
        network: "tiny",
        sha256: await sha256(bytes),
        images: [3, 8, 8],
        input: [3, 8, 8],
        resize: "none",
        range: "-1..1",
        rounded: false,
      });
      await features.dispose();
    });

  it("is given pixels in its own size, range and channels", async () => {
    const grey = images.subarray(0, 2 * 16 * 16);
    const [m, s] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const levels = grey.map((v) => Math.round((Math.min(1, Math.max(-1, v)) + 1) * 127.5) / 127.5 - 1);
    const small = resizeBilinear(levels, [16, 16], [8, 8], true);
    const seen = (read: (v: number, c: number) => number) =>
      Float32Array.from({ length: 2 * 3 * 64 }, (_, at) => {
        const [image, c, pixel] = [Math.floor(at / 192), Math.floor(at / 64) % 3, at % 64];
        return read(small[image * 64 + pixel], c);
      });
    const reads = {
      "-1..1": (v: number) => v,
      "0..1": (v: number) => (v + 1) / 2,
      "0..255": (v: number) => (v + 1) * 127.5,
      imagenet: (v: number, c: number) => ((v + 1) / 2 - m[c]) / s[c],
    } as const;
    for (const range of ["-1..1", "0..1", "0..255", "imagenet"] as const) {
      const options = { name: "tiny", images: [1, 16, 16], range } as const;
      const features = await foreignFeatures(await openForeign(onnx, file(2)), options);
      expectClose(await features.apply(grey, 2), expected(seen(reads[range]), 2));
      expect(features.protocol).toMatchObject({ resize: "bilinear-antialiased", rounded: true, range });
      await features.dispose();
    }
  });

  it("is refused in sentences where it does not fit", async () => {
    await expect(openForeign(onnx, file(1), { input: "x" })).rejects.toThrow(/no input "x"; it has image/);
    await expect(openForeign(onnx, file(1), { output: "y" })).rejects.toThrow(/no output "y"; it has pool/);
    const two = emitModel({ a: network(input("image", [1, 3, 8, 8])), b: input("image2", [1]) }, "cpu").bytes;
    await expect(openForeign(onnx, two)).rejects.toThrow(/has the inputs image, image2; say which/);
    const opened = await openForeign(onnx, file(1));
    await expect(foreignFeatures(opened, { ...plain, images: [2, 8, 8] })).rejects.toThrow(
      /2 channels and tiny takes 3/,
    );
    await expect(foreignFeatures(opened, { ...plain, size: [9, 9] })).rejects.toThrow(
      /8 x 8, expected the given 9 x 9/,
    );
    const features = await foreignFeatures(opened, plain);
    await expect(features.apply(images, 4)).rejects.toThrow(/expected 4 images of 192/);
    await features.dispose();
  });
});

describe("batches", () => {
  it("cover all images once, in order, the last one filled up", async () => {
    const sizes: number[] = [];
    const out = await inBatches(Float32Array.of(1, 2, 3, 4, 5), 5, 1, 2, 1, async (x) => {
      sizes.push(x.length);
      return x.map((v) => 10 * v);
    });
    expect([...out]).toEqual([10, 20, 30, 40, 50]);
    expect(sizes).toEqual([2, 2, 2]);
  });
});

describe("bilinear resizing", () => {
  const line = (x: number[], to: number, antialias: boolean) => [
    ...resizeBilinear(Float32Array.from(x), [1, x.length], [1, to], antialias),
  ];

  it("has the published taps", () => {
    // Half-pixel centers: PyTorch, align_corners=False.
    expect(line([0, 4, 8, 12], 2, false)).toEqual([2, 10]);
    expect(line([0, 4], 4, false)).toEqual([0, 1, 3, 4]);
    expect(line([0, 4], 4, true)).toEqual([0, 1, 3, 4]);
    // Antialiased by two: 1 3 3 1 over 8, cut and normalized at the edges.
    const [first, second] = line([8, 0, 0, 0, 8, 0, 0, 0], 4, true);
    expect(first).toBeCloseTo((3 / 7) * 8, 6);
    expect(second).toBeCloseTo((1 / 8) * 8, 6);
  });

  it("agrees with ONNX Runtime's Resize, in both directions", async () => {
    const runtime = nodeRuntime({ threads: 1 });
    const x = normal(key(4), 2 * 13 * 28);
    for (const to of [
      [5, 28],
      [7, 9],
      [13, 19],
      [20, 64],
    ] as const)
      for (const antialias of [false, true]) {
        const program = await runtime.compile({ y: oracle([input("x", [1, 2, 13, 28])], { to, antialias })[0] });
        expectClose(resizeBilinear(x, [13, 28], to, antialias), (await program.run({ x })).y.data as Float32Array);
        await program.dispose();
      }
  });

  it("keeps constants and, away from the edges, straight lines", () => {
    for (const antialias of [false, true])
      for (const to of [3, 5, 8, 17]) {
        for (const v of line(Array(8).fill(7), to, antialias)) expect(v).toBeCloseTo(7, 6);
        const ramp = line(
          Array.from({ length: 64 }, (_, i) => i),
          to,
          antialias,
        );
        const middle = Math.floor(to / 2);
        expect(ramp[middle]).toBeCloseTo(((middle + 0.5) * 64) / to - 0.5, 4);
      }
  });

  it("treats rows and columns alike", () => {
    const x = normal(key(3), 6 * 9);
    const turned = Float32Array.from({ length: 54 }, (_, at) => x[(at % 6) * 9 + Math.floor(at / 6)]);
    const a = resizeBilinear(x, [6, 9], [4, 5], true);
    const b = resizeBilinear(turned, [9, 6], [5, 4], true);
    a.forEach((v, at) => {
      expect(b[(at % 5) * 4 + Math.floor(at / 5)]).toBeCloseTo(v, 5);
    });
  });
});

const oracle = operator<{ to: readonly [number, number]; antialias: boolean }>({
  name: "resize",
  infer: ([x], { to }) => [{ shape: [x.shape[0], x.shape[1], ...to], dtype: "float32" }],
  emit: (graph, [x], { to, antialias }) => [
    graph.op("Resize", [x, "", "", graph.ints([1, 2, ...to])], {
      mode: "linear",
      coordinate_transformation_mode: "half_pixel",
      antialias: antialias ? 1 : 0,
      // As Pillow and PyTorch treat the edges.
      exclude_outside: antialias ? 1 : 0,
    }),
  ],
  jvp: "none",
});

function expectClose(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  // float32 sums of 27 products; 255 is the largest input.
  want.forEach((v, i) => {
    expect(Math.abs(got[i] - v)).toBeLessThan(1e-5 * Math.max(1, Math.abs(v)));
  });
}
