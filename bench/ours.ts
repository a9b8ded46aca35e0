// Our side of the comparison: a phase compiled and ready to run, on the buffers a training loop would use.

import { readFileSync } from "node:fs";
import { flops } from "../src/graph/flops.ts";
import { constant, conv2d, input, matmul, type Precision, sizeOf, type Tensor } from "../src/graph/index.ts";
import { inputVector } from "../src/nn/params.ts";
import { adamwDefaults, adamwScalars } from "../src/optim/adamw.ts";
import { emaDecay } from "../src/optim/ema.ts";
import type { Feed, Feeds, Held, Runtime } from "../src/runtime/index.ts";
import { type Case, type Phase, program, split } from "./cases.ts";

export const learningRate = 1e-4;
/** In float16, on both sides: small gradients are not lost, and none of the cases' overflows. */
export const halfLossScale = 2 ** 10;

export interface Prepared {
  /** Of one run; see flops.ts. */
  readonly flops: number;
  run(): Promise<void>;
  /** What the last run computed, in the order in which torch_reference.py writes it; the first `count` of it. */
  results(count?: number): Promise<Float32Array[]>;
  dispose(): Promise<void>;
}

export interface PrepareOptions {
  readonly remat?: boolean;
  readonly precision?: Precision;
}

/** On a device, gradient and state stay there from run to run; an operator that would run on the CPU is refused. */
export async function prepare(
  runtime: Runtime,
  c: Case,
  phase: Phase,
  theta: Float32Array,
  { remat = false, precision }: PrepareOptions = {},
): Promise<Prepared> {
  const outputs = program(c, phase, theta, { remat, lossScale: precision === "float16" ? halfLossScale : 1 });
  const staying = ["gradient", "theta", "m", "v", "ema"].filter((name) => name in outputs);
  const compiled = await runtime.compile<string, string>(outputs, {
    keep: staying,
    ...(precision ? { precision } : {}),
    ...(runtime.device === "cpu" ? {} : { deviceOnly: true }),
  });
  const base: Record<string, Feed> = {};
  for (const [name, { data }] of Object.entries(c.inputs())) base[name] = data;
  if (phase === "forward") delete base.target;
  if (phase === "forward" && c.large) for (const [s, data] of split(c.spec, theta)) base[s.name] = data;
  let last: Record<string, Held> = {};
  const keep = async (feeds: Feeds, into?: Record<string, Held>) => {
    const fetched = await compiled.run(feeds, into);
    last = Object.fromEntries(Object.entries(fetched).map(([name, { data }]) => [name, data]));
  };
  const results = async (count?: number) => {
    const names = { forward: ["y"], "forward+backward": ["loss", "gradient"], step: ["loss", "norm", "theta", "ema"] };
    const found: Float32Array[] = [];
    for (const name of names[phase].slice(0, count)) {
      const x = last[name];
      found.push((x instanceof Float32Array ? x : await runtime.read(x)) as Float32Array);
    }
    return found;
  };

  const shared = { flops: flops(outputs), dispose: () => compiled.dispose(), results };
  if (phase === "forward") return { ...shared, run: () => keep(base) };
  if (phase === "forward+backward") {
    let gradient: Held = new Float32Array(theta.length);
    const placed = await onto(runtime, c, theta);
    const run = async () => {
      await keep({ ...base, theta: placed }, { gradient });
      gradient = last.gradient;
    };
    return { ...shared, run };
  }
  const fresh = (): Record<string, Held> => ({
    theta: theta.slice(),
    m: new Float32Array(theta.length),
    v: new Float32Array(theta.length),
    ema: theta.slice(),
  });
  let [now, next] = [fresh(), fresh()];
  let step = 0;
  return {
    ...shared,
    async run() {
      step++;
      const scalars = { ...adamwScalars(step, learningRate, adamwDefaults), emaDecay: emaDecay(step, 0.9999) };
      const numbers = Object.fromEntries(Object.entries(scalars).map(([name, x]) => [name, Float32Array.of(x)]));
      await keep({ ...base, ...now, ...numbers }, next);
      [now, next] = [Object.fromEntries(staying.map((name) => [name, last[name]])), now];
    },
  };
}

/** Weights where the runtime computes. */
async function onto(runtime: Runtime, c: Case, theta: Float32Array): Promise<Held> {
  if (runtime.device === "cpu") return theta;
  const program = await runtime.compile({ theta: inputVector("theta", c.spec) }, { keep: ["theta"] });
  const { data } = (await program.run({ theta })).theta;
  await program.dispose();
  return data;
}

/** GFLOP/s of a 1024 x 1024 matrix product: the best of a few. */
export function matmulSpeed(runtime: Runtime, size = 1024): Promise<number> {
  const weight = constant(waves(size * size), [size, size]);
  return speed(runtime, matmul(input("x", [size, size]), weight), 2 * size ** 3);
}

/** GFLOP/s of a 3 x 3 convolution of 64 to 64 channels on 16 images of 32 x 32 pixels, the same way. */
export function convolutionSpeed(runtime: Runtime): Promise<number> {
  const [batch, channels, size] = [16, 64, 32];
  const weight = constant(waves(channels ** 2 * 9), [channels, channels, 3, 3]);
  const y = conv2d(input("x", [batch, channels, size, size]), weight, undefined, { padding: 1 });
  return speed(runtime, y, 2 * batch * size ** 2 * channels ** 2 * 9);
}

const waves = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => Math.sin(i));

async function speed(runtime: Runtime, y: Tensor, flops: number): Promise<number> {
  const compiled = await runtime.compile({ y });
  const x = waves(sizeOf(compiled.inputs[0].shape));
  const into = { y: new Float32Array(sizeOf(y.shape)) };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    await compiled.run({ x }, into);
    best = Math.min(best, performance.now() - start);
  }
  await compiled.dispose();
  return flops / best / 1e6;
}

/** Peak resident memory of this process in MiB; null where the system does not say. */
export function peakMemory(): number | null {
  try {
    const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
    return line ? Number(line[1]) / 1024 : null;
  } catch {
    return null;
  }
}
