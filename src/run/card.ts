// card.json: what a checkpoint says of itself. A model sampled in the wrong form fails silently, so the card carries
// form, prediction, windows and sampler, and nothing needs to be said again when it is used.

import * as z from "zod";
import { classCount, nullLabel } from "../condition.ts";
import {
  type FormSpec,
  formFromSpec,
  predictionFromSpec,
  predictionNames,
  predictionSpec,
  type WindowsSpec,
} from "../core/index.ts";
import { brief, show } from "../core/show.ts";
import { inForm, networkModel, type TimeInput } from "../model.ts";
import { firstIssue } from "../nn/config.ts";
import { buildNetwork, type Network } from "../nn/network.ts";
import { consistent } from "../objectives/boundary.ts";
import type { NetModel } from "../recipes/recipe.ts";

/** The newest format this version reads; what it writes. */
export const CARD_FORMAT = 2;

// Bounds far above what any run writes: a few bytes can ask for billions, and nothing may be made before it is refused.
const text = z.string().max(1000);
/** Steps, timesteps and entries of a table. */
const many = z.int().positive().max(100_000);
const number = z.number();
const kind = <K extends string>(name: K) => z.literal(name);

const windowsSchema: z.ZodType<WindowsSpec> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: kind("uniform"), count: z.int().positive().max(10_000) }),
  z.strictObject({ kind: kind("ticks"), total: many, edges: z.array(z.int()).max(10_001) }),
]);
const between = z.enum(["logSnr", "floor"]);
const entries = z.array(number).min(2).max(100_000);
const schedule = z.enum(["linear", "scaled_linear", "squaredcos_cap_v2"]);
const tableSchema = z.discriminatedUnion("schedule", [
  z.strictObject({
    kind: kind("table"),
    between,
    schedule,
    betaStart: number,
    betaEnd: number,
    steps: many.min(2),
    zeroSnr: z.boolean(),
  }),
  z.strictObject({
    kind: kind("table"),
    between,
    schedule: kind("trained_betas"),
    betas: entries,
    zeroSnr: z.boolean(),
  }),
  z.strictObject({ kind: kind("table"), between, schedule: kind("alphas_cumprod"), alphasCumprod: entries }),
]);
const plainForms = [
  z.strictObject({ kind: kind("linear"), shift: number }),
  z.strictObject({ kind: kind("vp"), betaMin: number, betaMax: number }),
  z.strictObject({ kind: kind("cosine") }),
  z.strictObject({ kind: kind("subVp"), betaMin: number, betaMax: number }),
  z.strictObject({ kind: kind("ve"), sigmaMin: number, sigmaMax: number }),
  z.strictObject({ kind: kind("edm"), sigmaMin: number, sigmaMax: number, rho: number }),
  tableSchema,
] as const;
/** Chords of chords. */
const DEEPEST_CHORD = 4;
const formWithin = (depth: number): z.ZodType<FormSpec> => {
  const base =
    depth > 0 ? formWithin(depth - 1) : z.never({ error: `chords of chords, more than ${DEEPEST_CHORD} deep` });
  const chord = z.strictObject({ kind: kind("chord"), base, windows: windowsSchema });
  return z.discriminatedUnion("kind", [...plainForms, chord]);
};
const formSchema = formWithin(DEEPEST_CHORD);

/** JSON of bounded size, whose keys others know. */
const optionsSchema = z.record(z.string().max(200), z.unknown()).refine((value) => isSmall(value, 8, { left: 1000 }), {
  error: "more than 1000 values, more than 8 deep, or a text of more than 1000 characters",
});

function isSmall(value: unknown, depth: number, budget: { left: number }): boolean {
  if (typeof value === "string") return value.length <= 1000;
  if (typeof value !== "object" || value === null) return true;
  if (depth === 0) return false;
  return Object.values(value).every((inner) => --budget.left >= 0 && isSmall(inner, depth - 1, budget));
}

const samplerSchema = z.strictObject({
  solver: z.enum(["ddim", "euler", "heun", "dpm++2m", "lcm"]),
  /** Where the steps lie: evenly over [0, 1], or evenly within each window. */
  grid: z.discriminatedUnion("kind", [
    z.strictObject({ kind: kind("uniform") }),
    z.strictObject({ kind: kind("windows"), windows: windowsSchema }),
  ]),
  /** Steps the model was made for. */
  steps: z.array(many).min(1).max(1000),
});
export type SamplerSpec = z.infer<typeof samplerSchema>;

const boundarySchema = z.strictObject({ kind: z.enum(["edm", "lcm"]), sigmaData: z.number().positive() });

const cardSchema = z.strictObject({
  format: z.int(),
  library: text,
  form: formSchema,
  prediction: z.strictObject({ name: z.enum(predictionNames), sigmaData: z.number().optional() }),
  timeInput: z.strictObject({ scale: z.number(), offset: z.number(), normalize: z.boolean().optional() }),
  /** The form that the network knows, where it is read in another one at equal SNR; prediction and times are its own. */
  native: formSchema.optional(),
  /** Where the network's data prediction is joined with the state, so that it is the identity at the data. */
  boundary: boundarySchema.optional(),
  network: z.strictObject({
    family: text,
    config: optionsSchema,
    nullLabel: z.boolean().optional(),
  }),
  sampler: samplerSchema,
  /** Guidance is null + g·(conditional − null); g = 1 is none. `baked`: the guidance of the teacher's solves. */
  guidance: z.strictObject({ convention: z.literal("null + g*(cond - null)"), baked: z.number() }),
  conditioning: z.strictObject({
    labels: z
      .int()
      .nonnegative()
      .max(2 ** 20),
    nullLabel: z
      .int()
      .nonnegative()
      .max(2 ** 20)
      .nullable(),
  }),
  recipe: z.strictObject({ method: text, options: optionsSchema }),
  /** SHA-256 of the teacher's weights; null for a model trained from scratch. */
  base: text.nullable(),
  imagesSeen: z.number().nonnegative(),
  teacherNfe: z.number().nonnegative(),
  seed: z.int().nonnegative(),
});
export type Card = z.infer<typeof cardSchema>;

/** Throws one sentence naming the first thing that is wrong; a newer format names the versions. */
export function parseCard(json: unknown, name = "card.json"): Card {
  const format = typeof json === "object" && json !== null && "format" in json ? json.format : undefined;
  if (typeof format === "number" && format > CARD_FORMAT)
    throw new Error(
      `${brief(name)} has format ${format}, but this version of fewstep reads formats up to ${CARD_FORMAT}. Update fewstep.`,
    );
  const result = cardSchema.safeParse(json);
  if (result.success) return result.data;
  const { key, value, why } = firstIssue(result.error, json);
  throw new Error(`${brief(name)} is not a valid card: ${key || "the whole file"}: ${show(value)} (${why}).`);
}

export interface BuiltModel {
  readonly network: Network;
  readonly model: NetModel;
  readonly timeInput: TimeInput;
}

/**
 * The model that a card describes, without weights; `file` is the model.onnx of one of family onnx. Throws an Error for a
 * network that cannot be built, or takes other classes than the card says.
 */
export function modelOf(
  card: Pick<Card, "form" | "prediction" | "timeInput" | "network" | "native" | "boundary" | "conditioning">,
  file?: Uint8Array,
): BuiltModel {
  const network = buildNetwork(card.network, file);
  checkConditioning(card.conditioning, conditioningOf(network));
  const form = formFromSpec(card.form);
  const prediction = predictionFromSpec(card.prediction);
  const own = networkModel(network, card.native ? formFromSpec(card.native) : form, prediction, card.timeInput);
  const read = card.native ? inForm(own, form) : own;
  const model = card.boundary ? consistent(read, card.boundary, card.timeInput) : read;
  return { network, timeInput: card.timeInput, model };
}

/** The part of a card that follows from a model. */
export function describeModel({
  network,
  model,
  timeInput,
}: BuiltModel): Pick<Card, "form" | "prediction" | "timeInput" | "network" | "native" | "boundary" | "conditioning"> {
  const { labels } = network.conditions;
  return {
    form: model.form.spec,
    prediction: predictionSpec(model.own ?? model.prediction),
    timeInput,
    ...(model.native ? { native: model.native.spec } : {}),
    ...(model.boundary ? { boundary: model.boundary } : {}),
    network: {
      family: network.family,
      config: { ...network.config },
      ...(labels && !labels.none ? { nullLabel: false } : {}),
    },
    conditioning: conditioningOf(network),
  };
}

const conditioningOf = ({ conditions }: Network): Card["conditioning"] => ({
  labels: classCount(conditions),
  nullLabel: nullLabel(conditions),
});

/** Which number is which class follows from the network, so a card that says otherwise belongs to another one. */
function checkConditioning(said: Card["conditioning"], found: Card["conditioning"]): void {
  for (const key of ["labels", "nullLabel"] as const)
    if (said[key] !== found[key])
      throw new Error(
        `the card says conditioning.${key} = ${said[key]}, but its network has ${found[key] ?? "none"}. Get the card that belongs to the weights.`,
      );
}
