// card.json: what a checkpoint says of itself. A model sampled in the wrong form fails silently, so the card carries
// form, prediction, windows and sampler, and nothing needs to be said again when it is used.

import { z } from "zod";
import { classCount, nullLabel } from "../condition.ts";
import {
  type FormSpec,
  formFromSpec,
  predictionFromSpec,
  predictionNames,
  predictionSpec,
  type WindowsSpec,
} from "../core/index.ts";
import { inForm, networkModel, type TimeInput } from "../model.ts";
import { buildNetwork, type Network } from "../nn/network.ts";
import { consistent } from "../objectives/boundary.ts";
import type { NetModel } from "../recipes/recipe.ts";

/** The newest format this version reads; what it writes. */
export const CARD_FORMAT = 2;

const windowsSchema: z.ZodType<WindowsSpec> = z.union([
  z.strictObject({ kind: z.literal("uniform"), count: z.int().positive() }),
  z.strictObject({ kind: z.literal("ticks"), total: z.int().positive(), edges: z.array(z.int()) }),
]);
const between = z.enum(["logSnr", "floor"]);
const formSchema: z.ZodType<FormSpec> = z.union([
  z.strictObject({ kind: z.literal("linear"), shift: z.number() }),
  z.strictObject({ kind: z.literal("vp"), betaMin: z.number(), betaMax: z.number() }),
  z.strictObject({ kind: z.literal("cosine") }),
  z.strictObject({ kind: z.literal("subVp"), betaMin: z.number(), betaMax: z.number() }),
  z.strictObject({ kind: z.literal("ve"), sigmaMin: z.number(), sigmaMax: z.number() }),
  z.strictObject({ kind: z.literal("edm"), sigmaMin: z.number(), sigmaMax: z.number(), rho: z.number() }),
  z.strictObject({
    kind: z.literal("table"),
    between,
    schedule: z.enum(["linear", "scaled_linear", "squaredcos_cap_v2"]),
    betaStart: z.number(),
    betaEnd: z.number(),
    steps: z.int().positive(),
    zeroSnr: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal("table"),
    between,
    schedule: z.literal("trained_betas"),
    betas: z.array(z.number()),
    zeroSnr: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal("table"),
    between,
    schedule: z.literal("alphas_cumprod"),
    alphasCumprod: z.array(z.number()),
  }),
  z.strictObject({
    kind: z.literal("chord"),
    get base() {
      return formSchema;
    },
    windows: windowsSchema,
  }),
]);

const samplerSchema = z.strictObject({
  solver: z.enum(["ddim", "euler", "heun", "dpm++2m", "lcm"]),
  /** Where the steps lie: evenly over [0, 1], or evenly within each window. */
  grid: z.union([
    z.strictObject({ kind: z.literal("uniform") }),
    z.strictObject({ kind: z.literal("windows"), windows: windowsSchema }),
  ]),
  /** Steps the model was made for. */
  steps: z.array(z.int().positive()).min(1),
});
export type SamplerSpec = z.infer<typeof samplerSchema>;

const boundarySchema = z.strictObject({ kind: z.enum(["edm", "lcm"]), sigmaData: z.number().positive() });

const cardSchema = z.strictObject({
  format: z.int(),
  library: z.string(),
  form: formSchema,
  prediction: z.strictObject({ name: z.enum(predictionNames), sigmaData: z.number().optional() }),
  timeInput: z.strictObject({ scale: z.number(), offset: z.number(), normalize: z.boolean().optional() }),
  /** The form that the network knows, where it is read in another one at equal SNR; prediction and times are its own. */
  native: formSchema.optional(),
  /** Where the network's data prediction is joined with the state, so that it is the identity at the data. */
  boundary: boundarySchema.optional(),
  network: z.strictObject({
    family: z.string(),
    config: z.record(z.string(), z.unknown()),
    nullLabel: z.boolean().optional(),
  }),
  sampler: samplerSchema,
  /** Guidance is null + g·(conditional − null); g = 1 is none. `baked`: the guidance of the teacher's solves. */
  guidance: z.strictObject({ convention: z.literal("null + g*(cond - null)"), baked: z.number() }),
  conditioning: z.strictObject({ labels: z.int().nonnegative(), nullLabel: z.int().nullable() }),
  recipe: z.strictObject({ method: z.string(), options: z.record(z.string(), z.unknown()) }),
  /** SHA-256 of the teacher's weights; null for a model trained from scratch. */
  base: z.string().nullable(),
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
      `${name} has format ${format}, but this version of fewstep reads formats up to ${CARD_FORMAT}. Update fewstep.`,
    );
  const result = cardSchema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Error(`${name} is not a valid card: ${issue.path.join(".") || "the whole file"}: ${issue.message}.`);
}

export interface BuiltModel {
  readonly network: Network;
  readonly model: NetModel;
  readonly timeInput: TimeInput;
}

/** The model that a card describes, without weights; `file` is the model.onnx of one of family onnx. */
export function modelOf(
  card: Pick<Card, "form" | "prediction" | "timeInput" | "network" | "native" | "boundary">,
  file?: Uint8Array,
): BuiltModel {
  const network = buildNetwork(card.network, file);
  const form = formFromSpec(card.form);
  const prediction = predictionFromSpec(card.prediction);
  const own = networkModel(network, card.native ? formFromSpec(card.native) : form, prediction, card.timeInput);
  const read = card.native ? inForm(own, form) : own;
  const model = card.boundary
    ? consistent(read, card.boundary, (t) => card.timeInput.scale * t + card.timeInput.offset)
    : read;
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
    conditioning: { labels: classCount(network.conditions), nullLabel: nullLabel(network.conditions) },
  };
}
