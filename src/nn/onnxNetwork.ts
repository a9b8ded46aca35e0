// An imported ONNX model as a network: which of its inputs is the sample, the time and the label, and how a batch is fed.

import * as z from "zod";
import { type Columns, type Cond, labelColumn } from "../condition.ts";
import { show } from "../core/show.ts";
import { add, cast, concat, constant, maximum, pad, reshape, sliceAxis, type Tensor } from "../graph/index.ts";
import { type Described, externalFiles, importOnnx, type OnnxModel } from "../onnx/index.ts";
import { width as features, readConfig } from "./config.ts";
import type { Params } from "./params.ts";

const schema = z.object({
  /** Names of inputs and of the output. */
  sample: z.string(),
  timestep: z.string(),
  labels: z.string().nullable().default(null),
  output: z.string(),
  /** Without the batch. */
  sampleShape: z.array(features).min(1).max(4),
  /** Rows of the table of labels; null: it takes none. */
  labelRows: features.nullable().default(null),
});
export type OnnxConfig = Readonly<z.output<typeof schema>>;

/** The file beside model.onnx that holds the weights of a saved network, under their names in the model. */
export const WEIGHTS_FILE = "model.safetensors";

export interface OnnxNetwork {
  readonly family: "onnx";
  readonly config: OnnxConfig;
  readonly sampleShape: readonly number[];
  readonly conditions: Columns;
  /** Samples that the file takes at once; null: as many as there are. */
  readonly fixedBatch: number | null;
  /** Whether times are rounded to whole timesteps, because the model does more with them than to make them floats. */
  readonly wholeTimes: boolean;
  /** The model without its weights, or with them at these bytes of WEIGHTS_FILE. */
  file(places?: ReadonlyMap<string, number>): Uint8Array;
  apply(p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor;
}

/** Cards written before 0.1 call the rows "labelCount". */
function renamed(given: unknown): unknown {
  if (typeof given !== "object" || given === null || !("labelCount" in given)) return given;
  const { labelCount, ...rest } = given;
  return { labelRows: labelCount, ...rest };
}

/** `file` as OnnxNetwork.file gives it: its weights, and only those, lie in WEIGHTS_FILE. */
export function onnxNetwork(given: unknown, file: Uint8Array): OnnxNetwork {
  const config = readConfig("onnx", schema, renamed(given));
  const weights = new Set(externalFiles(file).get(WEIGHTS_FILE));
  const model = importOnnx(file, { weights: (name) => weights.has(name), withoutWeights: true });
  const inputs = new Map(model.inputs.map((x) => [x.name, x]));
  const fixedBatch = batchOf(inputs, config);
  const time = inputs.get(config.timestep);
  const wholeTimes = time?.dtype === "int64" && !model.takesFloats(time.name);
  return {
    family: "onnx",
    config,
    sampleShape: config.sampleShape,
    conditions: config.labelRows === null ? {} : { labels: labelColumn(config.labelRows) },
    fixedBatch,
    wholeTimes,
    file: (places) => (places ? model.detached(WEIGHTS_FILE, places) : file),
    apply(p, x, tau, { labels }) {
      return inParts(x, tau, labels, fixedBatch, (part, t, label) => {
        const fed = {
          [config.sample]: part,
          [config.timestep]: timeFor(time, wholeTimes, t),
          ...(config.labels !== null && label ? { [config.labels]: labelFor(inputs.get(config.labels), label) } : {}),
        };
        const y = model.apply(p, fed)[config.output];
        if (y.shape.join() !== part.shape.join())
          throw new RangeError(
            `The model turns [${part.shape}] into [${y.shape}], expected as many channels out as in (a learned variance, perhaps) and the same size.`,
          );
        return y;
      });
    },
  };
}

/** A single time for all samples means a batch of one: in training every sample has its own. */
function batchOf(inputs: ReadonlyMap<string, Described>, { sample, timestep, labels }: OnnxConfig): number | null {
  const fixed = [sample, timestep, ...(labels === null ? [] : [labels])].flatMap((name) => {
    const shape = inputs.get(name)?.shape;
    if (!shape)
      throw new RangeError(`onnx: the model has no input "${name}"; it has ${[...inputs.keys()].join(", ")}.`);
    const first = shape.length === 0 ? 1 : shape[0];
    return typeof first === "number" ? [first] : [];
  });
  return fixed.length === 0 ? null : Math.min(...fixed);
}

function timeFor(described: Described | undefined, whole: boolean, tau: Tensor): Tensor {
  const shaped = described?.shape.length === 0 ? reshape(tau, []) : tau;
  return whole ? cast(add(maximum(shaped, 0), 0.5), "int64") : shaped;
}
const labelFor = (described: Described | undefined, labels: Tensor): Tensor => {
  const shaped = described?.shape.length === 0 ? reshape(labels, []) : labels;
  return described?.dtype === "float32" ? cast(shaped, "float32") : shaped;
};

type Apply = (x: Tensor, tau: Tensor, labels?: Tensor) => Tensor;

/** A batch in parts of the size that the file takes; the last one is filled up with zeros. */
function inParts(x: Tensor, tau: Tensor, labels: Tensor | undefined, size: number | null, f: Apply): Tensor {
  const batch = x.shape[0];
  if (size === null || size === batch) return f(x, tau, labels);
  const parts = Array.from({ length: Math.ceil(batch / size) }, (_, i) => {
    const [from, to] = [i * size, Math.min(batch, (i + 1) * size)];
    const missing = size - (to - from);
    const part = (t: Tensor): Tensor => filled(sliceAxis(t, 0, from, to), missing);
    const y = f(part(x), part(tau), labels && part(labels));
    return missing === 0 ? y : sliceAxis(y, 0, 0, to - from);
  });
  return concat(parts, 0);
}

function filled(x: Tensor, rows: number): Tensor {
  if (rows === 0) return x;
  if (x.dtype === "int64") return concat([x, constant(new BigInt64Array(rows), [rows])], 0);
  return pad(
    x,
    x.shape.map((_, i) => [0, i === 0 ? rows : 0]),
  );
}

/** What config.json says: sizes that a file may leave open, and the classes. */
export interface OnnxHints {
  readonly channels?: number;
  readonly size?: readonly [number, number];
  readonly classes?: number;
}

/**
 * Which input is what, by the names that exporters of diffusion models use, or by what is left.
 * Throws an Error for a model that needs more than a sample, a time and labels, for a size that nobody gives, and for
 * hints that are not true of the file.
 */
export function describeOnnx(model: OnnxModel, hints: OnnxHints = {}): OnnxConfig {
  const left = [...model.inputs];
  const take = (names: readonly string[], fits: (x: Described) => boolean): Described | undefined => {
    const found = left.find((x) => names.includes(x.name)) ?? left.find(fits);
    if (found) left.splice(left.indexOf(found), 1);
    return found;
  };
  const sample = take(["sample", "x", "latent", "input"], (x) => x.dtype === "float32" && x.shape.length >= 2);
  const labels = take(["class_labels", "labels", "y"], () => false);
  const timestep = take(["timestep", "timesteps", "t", "tau"], (x) => x.shape.length <= 1);
  const rest = left.map((x) => `"${x.name}"`).join(", ");
  if (!sample || !timestep)
    throw new Error(
      `The model's inputs ${model.inputs.map((x) => `"${x.name}"`).join(", ") || "(none)"} include no ${sample ? "time" : "sample"}; expected "sample" and "timestep".`,
    );
  if (rest)
    throw new Error(
      `The model needs ${rest} besides "${sample.name}" and "${timestep.name}", but a teacher takes a sample, a time and class labels only; in a program, importOnnx takes any inputs (see docs/onnx-import.md).`,
    );
  const output = model.outputs.find((y) => y.name === "out_sample") ?? model.outputs[0];
  const { channels, size, classes } = hints;
  const rows = labels && model.tableRows(labels.name);
  if (classes !== undefined && !labels)
    throw contradiction("num_class_embeds", classes, "the model has no input of class labels");
  if (classes !== undefined && rows !== undefined && rows !== classes)
    throw contradiction("num_class_embeds", classes, `"${labels?.name}" picks from ${rows} rows`);
  const labelRows = labels ? (classes ?? rows) : null;
  if (labelRows === undefined)
    throw new Error(`Nothing says how many classes "${labels?.name}" has; put "num_class_embeds" into config.json.`);
  const said = [channels, ...(size ?? [])];
  const sizes = sample.shape.slice(1);
  const sampleShape = sizes.map((d, i) => {
    const known = typeof d === "number" ? d : said[i];
    const key = i === 0 ? "in_channels" : "sample_size";
    if (known === undefined)
      throw new Error(`The model leaves the dimension "${d}" of "${sample.name}" open; put "${key}" into config.json.`);
    if (said[i] !== undefined && said[i] !== known)
      throw contradiction(
        key,
        i === 0 || size?.[0] === size?.[1] ? said[i] : size,
        `"${sample.name}" is ${sizes.join(" x ")}`,
      );
    return known;
  });
  return {
    sample: sample.name,
    timestep: timestep.name,
    labels: labels?.name ?? null,
    output: output.name,
    sampleShape,
    labelRows,
  };
}

const contradiction = (key: string, value: unknown, file: string): Error =>
  new Error(
    `config.json has "${key}": ${show(value)}, but ${file}. Take the config.json that belongs to the model, or leave "${key}" out.`,
  );
