// Embeddings of time against their formulas.
import { expect, it } from "vitest";
import { input, type Tensor } from "../../src/graph/index.ts";
import { fourier, sinusoid } from "../../src/nn/embed.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { normals, runtime } from "./helpers.ts";

const times = Float32Array.of(0, 1, 37.5, 999);

async function run(build: (x: Tensor) => Tensor, x: Float32Array): Promise<Float32Array> {
  const program = await runtime.compile({ y: build(input("x", [x.length])) });
  const { y } = await program.run({ x });
  await program.dispose();
  return y.data as Float32Array;
}

it.each([
  { width: 16, flipSinToCos: true, freqShift: 0 },
  { width: 16, flipSinToCos: false, freqShift: 1 },
  { width: 7, flipSinToCos: true, freqShift: 0 },
])("sinusoid $width, flipSinToCos $flipSinToCos, freqShift $freqShift", async ({ width, ...options }) => {
  const y = await run((x) => sinusoid(x, width, options), times);
  const half = Math.floor(width / 2);
  times.forEach((t, n) => {
    for (let i = 0; i < width; i++) {
      const angle = t * Math.exp((-Math.log(10000) * (i % half)) / (half - options.freqShift));
      const cosine = options.flipSinToCos === i < half;
      const want = i >= 2 * half ? 0 : cosine ? Math.cos(angle) : Math.sin(angle);
      // float32 angles up to 999 are off by up to 6e-5.
      expect(Math.abs(y[n * width + i] - want)).toBeLessThan(1e-4);
    }
  });
});

it("fourier features of the logarithm", async () => {
  const weight = normals(4, [6]).map((v) => 16 * v);
  const sigmas = Float32Array.of(0.01, 1, 50);
  const p = fromConstants(new Map([["f.weight", { shape: [6], data: weight }]]));
  const y = await run((x) => fourier(p, "f", x, 6, 16), sigmas);
  sigmas.forEach((sigma, n) => {
    for (let i = 0; i < 6; i++) {
      const angle = Math.log(sigma) * weight[i] * 2 * Math.PI;
      // Angles of up to 1000 radians in float32.
      expect(Math.abs(y[n * 12 + i] - Math.sin(angle))).toBeLessThan(5e-4);
      expect(Math.abs(y[n * 12 + 6 + i] - Math.cos(angle))).toBeLessThan(5e-4);
    }
  });
});
