// Networks with random parameters, run on the CPU.
import { constant, input, type Tensor } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { collect, type Network } from "../../src/nn/network.ts";
import { countParams, fromFlat, type ParamSpec } from "../../src/nn/params.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

export const runtime = nodeRuntime({ threads: 1 });

/** Random parameters, also where a network starts at zero: half the usual start plus normal noise of 0.1. */
export function randomTheta(spec: readonly ParamSpec[], seed: number): Float32Array {
  const start = initialize(spec, key(seed));
  const noise = normal(fold(key(seed), "noise"), start.length);
  return start.map((value, i) => value + 0.1 * noise[i]);
}

export interface Probe {
  readonly spec: readonly ParamSpec[];
  readonly theta: Tensor;
  readonly x: Tensor;
  readonly output: Tensor;
}

/** The network on fixed inputs: normal x, times spread over 0 to 1000, random labels. */
export function probe(network: Network, batch: number): Probe {
  const spec = collect(network);
  const theta = input("theta", [countParams(spec)]);
  const shape = [batch, ...network.sampleShape];
  const x = input("x", shape);
  const tau = constant(Float32Array.from({ length: batch }, (_, i) => (1000 * (i + 0.5)) / batch));
  const rows = network.conditions.labels?.rows;
  const labels = rows && constant(BigInt64Array.from(randint(key(3), batch, rows), BigInt), [batch]);
  return { spec, theta, x, output: network.apply(fromFlat(spec, theta), x, tau, labels ? { labels } : {}) };
}

export const normals = (seed: number, shape: readonly number[]): Float32Array =>
  normal(
    key(seed),
    shape.reduce((a, b) => a * b, 1),
  );
