// JSON descriptions back to forms, predictions and windows: what a checkpoint's card stores.
import { chord } from "./chord.ts";
import type { Form, FormSpec } from "./form.ts";
import { cosine, edm, linear, subVp, ve, vp } from "./forms.ts";
import {
  diffEps,
  edmPrediction,
  edmWith,
  eps,
  type Prediction,
  predictionNames,
  score,
  velocity,
  vPrediction,
  x0,
} from "./prediction.ts";
import { table } from "./table.ts";
import { tickWindows, uniformWindows, type Windows, type WindowsSpec } from "./windows.ts";

/** @throws RangeError naming an unknown kind. */
export function formFromSpec(spec: FormSpec): Form {
  switch (spec.kind) {
    case "linear":
      return linear(spec.shift);
    case "vp":
      return vp(spec);
    case "cosine":
      return cosine();
    case "subVp":
      return subVp(spec);
    case "ve":
      return ve(spec);
    case "edm":
      return edm(spec);
    case "chord":
      return chord(formFromSpec(spec.base), windowsFromSpec(spec.windows));
    case "table": {
      if (spec.schedule === "alphas_cumprod" || spec.schedule === "trained_betas") return table(spec);
      const { schedule, betaStart, betaEnd, steps, zeroSnr, between } = spec;
      return table({ schedule, betaStart, betaEnd, steps, zeroSnr, between });
    }
    default:
      throw new RangeError(
        `Unknown form "${(spec as { kind: string }).kind}". Expected linear, vp, cosine, subVp, ve, edm, table or chord.`,
      );
  }
}

/** The windows that a card describes. Throws RangeError for a kind that does not exist. */
export function windowsFromSpec(spec: WindowsSpec): Windows {
  switch (spec.kind) {
    case "uniform":
      return uniformWindows(spec.count);
    case "ticks":
      return tickWindows(spec.total, spec.edges);
    default:
      throw new RangeError(`Unknown windows "${(spec as { kind: string }).kind}". Expected uniform or ticks.`);
  }
}

/** JSON-able description of a prediction: its name, and for "edm" the data's standard deviation. */
export type PredictionSpec = { name: Prediction["name"]; sigmaData?: number };

/** What a card says of a prediction. */
export const predictionSpec = ({ name, sigmaData }: Prediction): PredictionSpec =>
  sigmaData === undefined ? { name } : { name, sigmaData };

/** The prediction that a card names. Throws RangeError for one that does not exist. */
export const predictionFromSpec = ({ name, sigmaData }: PredictionSpec): Prediction =>
  name === "edm" && sigmaData !== undefined ? edmWith(sigmaData) : predictionByName(name);

/** @throws RangeError naming an unknown prediction. */
export function predictionByName(name: string): Prediction {
  const found = [eps, x0, vPrediction, velocity, score, edmPrediction, diffEps].find((p) => p.name === name);
  if (!found) throw new RangeError(`Unknown prediction "${name}". Expected one of ${predictionNames.join(", ")}.`);
  return found;
}
