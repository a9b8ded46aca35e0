// Starting values of parameters, as PyTorch chooses them.
import { sizeOf } from "../graph/index.ts";
import { fold, type Key, normal, uniform } from "../random.ts";
import { countParams, type Init, type ParamSpec } from "./params.ts";

/** The flat parameter vector. Each parameter draws from the key folded with its own name, so order does not matter. */
export function initialize(spec: readonly ParamSpec[], key: Key): Float32Array {
  const theta = new Float32Array(countParams(spec));
  let offset = 0;
  for (const { name, shape, init } of spec) {
    const part = theta.subarray(offset, offset + sizeOf(shape));
    fill(part, init, shape, fold(key, name));
    offset += part.length;
  }
  return theta;
}

function fill(out: Float32Array, init: Init, shape: readonly number[], key: Key): void {
  if (init === "zeros") return;
  if (init === "ones") out.fill(1);
  else if (typeof init === "object" && "normal" in init) {
    const draws = normal(key, out.length);
    for (let i = 0; i < out.length; i++) out[i] = init.normal * draws[i];
  } else {
    // kaiming_uniform(a = sqrt 5), PyTorch's default for linear and conv layers, is uniform(+-1/sqrt(fan in)).
    const bound = init === "default" ? 1 / Math.sqrt(sizeOf(shape.slice(1))) : init.uniform;
    const draws = uniform(key, out.length);
    for (let i = 0; i < out.length; i++) out[i] = bound * (2 * draws[i] - 1);
  }
}
