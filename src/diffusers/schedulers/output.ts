// The network's output as x0 and eps, with diffusers' clipping and thresholding.
import { type Row, transfer } from "../../core/row.ts";
import { combine } from "../../solvers/combine.ts";
import { refuse } from "./config.ts";
import type { Context } from "./scheduler.ts";

/** The row of a prediction_type at a state row. v is v of the state scaled to unit variance. */
export function predictionRow({ name, options }: Context, [alpha, sigma]: Row): Row {
  switch (options.prediction_type) {
    case "epsilon":
      return [0, 1];
    case "sample":
    case "original_sample":
      return [1, 0];
    case "v_prediction": {
      const norm = Math.hypot(alpha, sigma);
      return [-sigma / norm, alpha / norm];
    }
    case "flow_prediction":
      return [-1, 1];
    default:
      return refuse(
        name,
        "prediction_type",
        options.prediction_type,
        "epsilon, sample, v_prediction or flow_prediction",
      );
  }
}

/** Reads `want` from the state and the output. @throws RangeError where the output says nothing beyond the state. */
export function readOutput(
  context: Context,
  have: Row,
  x: Float32Array,
  output: Float32Array,
  want: Row,
  pred = predictionRow(context, have),
): Float32Array {
  try {
    const [p, q] = transfer(have, pred, want);
    return combine([
      [p, x],
      [q, output],
    ]);
  } catch (cause) {
    const { name, options } = context;
    throw new RangeError(
      `${name} cannot read ${options.prediction_type} at alpha = ${have[0]}, sigma = ${have[1]}. Expected v_prediction or sample there, or a later start.`,
      { cause },
    );
  }
}

/** x0 after thresholding or clipping. Thresholding goes first, as in diffusers; both off returns it unchanged. */
export function limit({ options, sampling }: Context, data: Float32Array, mayClip: boolean): Float32Array {
  if (options.thresholding)
    return threshold(data, options.dynamic_thresholding_ratio, options.sample_max_value, sampling.batch ?? 1);
  if (!mayClip || !options.clip_sample) return data;
  const range = options.clip_sample_range;
  return data.map((v) => Math.min(range, Math.max(-range, v)));
}

/** Dynamic thresholding (Imagen, section 2.3): per sample, clamp to the quantile s of |x0| (1 <= s <= max) and divide by it. */
function threshold(data: Float32Array, ratio: number, max: number, batch: number): Float32Array {
  const size = data.length / batch;
  if (!Number.isInteger(size))
    throw new RangeError(`A state of ${data.length} numbers does not hold ${batch} samples.`);
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    const part = data.subarray(b * size, (b + 1) * size);
    const sorted = part.map(Math.abs).sort();
    const at = ratio * (size - 1);
    const low = Math.floor(at);
    const quantile = sorted[low] + (at - low) * (sorted[Math.min(low + 1, size - 1)] - sorted[low]);
    const s = Math.min(Math.max(quantile, 1), max);
    part.forEach((v, i) => {
      out[b * size + i] = Math.min(s, Math.max(-s, v)) / s;
    });
  }
  return out;
}
