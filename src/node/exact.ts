// "exact:<data>?width=0.1": the best denoiser of a data set in place of a trained teacher.
import * as z from "zod";
import { predictionByName, table } from "../core/index.ts";
import { brief, listed, sentenceOf } from "../core/show.ts";
import type { Dataset } from "../data/dataset.ts";
import { sha256 } from "../hash.ts";
import { exactParams, readExactConfig } from "../nn/exact.ts";
import { exactModel } from "../nn/exactModel.ts";
import { buildNetwork, collect } from "../nn/network.ts";
import { flatten } from "../nn/params.ts";
import { fold, key, permutation } from "../random.ts";
import { UsageError } from "./failure.ts";
import { openData } from "./files.ts";
import { formNames, forms, natural, predictionChoices, timeInputOn } from "./forms.ts";
import type { LoadedModel } from "./models.ts";

export const EXACT = "exact:";
export const isExact = (path: string): boolean => path.startsWith(EXACT);

/** Besides the forms of `train`, Stable Diffusion's table (scaled_linear), and the same range of betas linearly. */
const tables = {
  "table-scaled": () => table({ schedule: "scaled_linear", betaStart: 0.00085, betaEnd: 0.012 }),
  "table-linear": () => table({ schedule: "linear", betaStart: 0.00085, betaEnd: 0.012 }),
};
const exactForms = [...formNames, "table-scaled", "table-linear"] as const;
const formOf = { ...forms, ...tables };
const predicted = { ...natural, "table-scaled": "eps", "table-linear": "eps" } as const;

const options = z.object({
  width: z.number().nonnegative().max(1e3).default(0).describe("Standard deviation around every point."),
  form: z.enum(exactForms).default("vp").describe("How noise is added."),
  prediction: z.enum(predictionChoices).optional().describe("What is predicted; default the form's natural one."),
  n: z.int().positive().optional().describe("So many of the data, chosen at random; default all."),
  classes: z.boolean().default(true).describe("Whether it is conditioned on the data's classes."),
});

/** Values of a program may be two gigabytes, points and their classes among them. */
const MOST_VALUES = 4e8;

/**
 * The exact denoiser of "exact:<data>[?width=…&form=…&prediction=…&n=…&classes=…]". Throws UsageError for options that do
 * not exist, an Error for data that cannot be opened or are too many.
 */
export async function loadExact(path: string): Promise<LoadedModel> {
  const { name: source, values } = splitQuery(path.slice(EXACT.length));
  const o = queryOptions(path, options, values);
  if (source === "")
    throw new UsageError(
      `"${brief(path)}" names no data: expected ${EXACT}<data>, such as ${EXACT}toy:moons?width=0.1.`,
    );
  const data = await openData(source);
  const [channels, height, width] = data.shape;
  const shape = height === 1 && width === 1 ? [channels] : [channels, height, width];
  const indices = chosen(data, o.n, path);
  const classes = o.classes && data.classes > 0 ? data.classes : null;
  const held = indices.length * (channels * height * width + (classes === null ? 0 : classes + 1));
  if (held > MOST_VALUES)
    throw new Error(
      `${brief(path)} would hold ${indices.length.toLocaleString("en-US")} samples, ${Math.round((4 * held) / 1e6)} MB, expected at most ${(4 * MOST_VALUES) / 1e6} MB. Take fewer with ?n=…`,
    );
  const network = buildNetwork({
    family: "exact",
    config: { shape, points: indices.length, classes, width: o.width },
  });
  const prediction = predictionByName(o.prediction ?? predicted[o.form]);
  const model = exactModel(network, formOf[o.form](), prediction);
  const { x, labels } = data.batch(indices);
  const params = exactParams(readExactConfig(network.config), x, labels);
  const spec = collect(network);
  const theta = flatten(spec, params);
  const what = { config: network.config, form: model.form.spec, prediction: prediction.name };
  const weights = await sha256(new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength));
  return {
    network,
    model,
    timeInput: timeInputOn(o.form),
    path,
    name: path,
    kind: "exact",
    spec,
    params,
    theta,
    hash: await sha256(new TextEncoder().encode(JSON.stringify([weights, what]))),
    sampler: { solver: "ddim", grid: { kind: "uniform" }, steps: [50] },
    notes: data.notes ?? [],
  };
}

/** n of the data, the same ones every time; all in their order where no number is given. */
function chosen({ size, name }: Dataset, n: number | undefined, path: string): Uint32Array {
  if (n === undefined) return Uint32Array.from({ length: size }, (_, i) => i);
  if (n > size) throw new UsageError(`${brief(path)} asks for ${n} samples, but ${name} has ${size}.`);
  return permutation(fold(key(0), "exact"), size).subarray(0, n);
}

/** "name?a=1&b=x" as its name and values; numbers and true or false as such. */
export function splitQuery(text: string): { readonly name: string; readonly values: Record<string, unknown> } {
  const at = text.lastIndexOf("?");
  if (at < 0) return { name: text, values: {} };
  const pairs = text.slice(at + 1).split("&");
  const values = pairs.map((pair): [string, unknown] => {
    const [name, ...rest] = pair.split("=");
    const value = rest.join("=");
    if (value === "true" || value === "false") return [name, value === "true"];
    return [name, value !== "" && Number.isFinite(Number(value)) ? Number(value) : value];
  });
  return { name: text.slice(0, at), values: Object.fromEntries(values) };
}

/** Throws UsageError with everything that is wrong in the options after a "?". */
export function queryOptions<S extends z.ZodObject>(whole: string, schema: S, values: object): z.output<S> {
  const result = z.strictObject(schema.shape).safeParse(values);
  if (result.success) return result.data as z.output<S>;
  const names = Object.keys(schema.shape).join(", ");
  const said = result.error.issues.map((issue) =>
    issue.code === "unrecognized_keys"
      ? `there is no ${listed(issue.keys)} (there are ${names})`
      : `${issue.path.join(".")}: ${issue.message.replace(/^Invalid input: /, "")}`,
  );
  throw new UsageError(`"${brief(whole)}" cannot be read: ${sentenceOf(said.join("; "), 300)}.`);
}
