// What can be trained in the page: every recipe, and a teacher from scratch; their options as fields of a form.
import { diffusion, type Recipe, recipes } from "fewstep/browser";
import type { Field, MethodInfo } from "../worker/protocol.ts";
import { TEACHER } from "./models.ts";

const all = [diffusion, ...recipes] as unknown as readonly Recipe[];

export function methodNamed(name: string): Recipe {
  const found = all.find((recipe) => recipe.name === name);
  if (!found)
    throw new Error(`There is no method "${name}"; there are ${all.map((recipe) => recipe.name).join(", ")}.`);
  return found;
}

/** A teacher in the plane: as in the shipped ones. */
const teacherTraining = { batch: 256, lr: 2e-3, ema: 0.99, warmup: 50, images: 307_200 };
const training = { batch: 256, lr: 1e-3, ema: 0.99, warmup: 50, decay: "cosine", clip: 1, dropLabels: 0.1 };

/** Values where none is given: the preset for points, over the method's defaults. */
export function presetOf(recipe: Recipe): Readonly<Record<string, string | number>> {
  const { lr, ema, images } = recipe.training;
  const small = recipe.name === TEACHER ? teacherTraining : (recipe.small?.points ?? {});
  return { ...training, lr, ema, images, ...small };
}

interface Schema {
  readonly def: { readonly type: string; readonly innerType?: Schema; readonly defaultValue?: unknown };
  readonly options?: readonly unknown[];
  meta?(): { readonly description?: string } | undefined;
}

const inner = (schema: Schema): Schema => (schema.def.innerType ? inner(schema.def.innerType) : schema);
const usualOf = ({ def }: Schema): unknown => ("defaultValue" in def ? def.defaultValue : undefined);

export const flagOf = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const FIRST = ["windows", "teacherSteps", "pairs", "images"];
const texts: Readonly<Record<string, string>> = {
  images: "Budget: points seen in training.",
  batch: "Points per step.",
  lr: "Learning rate (AdamW).",
};

/** The options that a method has, its own first. Lists, which need several values, are not among them. */
export function fieldsOf(recipe: Recipe): Field[] {
  const preset = presetOf(recipe);
  const own = Object.entries(recipe.options.shape as unknown as Record<string, Schema>).flatMap(([key, schema]) => {
    const base = inner(schema);
    const kind = kinds[base.def.type];
    if (!kind) return [];
    const usual = preset[key] ?? usualOf(schema);
    const text = schema.meta?.()?.description ?? "";
    return [{ key, kind, text, usual: usual === undefined ? "" : String(usual), choices: base.options?.map(String) }];
  });
  const common = ["images", "batch", "lr"].map((key) => {
    return { key, kind: "number" as const, text: texts[key], usual: String(preset[key]), choices: undefined };
  });
  return [...own, ...common].map((field) => ({ ...field, flag: flagOf(field.key), main: FIRST.includes(field.key) }));
}

const kinds: Readonly<Record<string, Field["kind"]>> = {
  number: "number",
  int: "number",
  enum: "choice",
  boolean: "switch",
  string: "text",
};

const numbersIn = (preset: Readonly<Record<string, string | number>>): { ema?: number; warmup?: number } =>
  Object.fromEntries(Object.entries(preset).filter(([, value]) => typeof value === "number"));

/** Every method, for a form that does not load the recipes. */
export const methodInfos = (): MethodInfo[] =>
  all.map((recipe) => ({
    name: recipe.name,
    summary: recipe.summary,
    paper: { cite: recipe.paper.cite, url: recipe.paper.url },
    fields: fieldsOf(recipe),
  }));

export interface Resolved {
  /** The method's own options. */
  readonly own: Readonly<Record<string, unknown>>;
  readonly training: {
    readonly batch: number;
    readonly lr: number;
    readonly ema: number;
    readonly warmup: number;
    readonly images: number;
    readonly clip: number;
    readonly dropLabels: number;
    readonly decay: "cosine";
  };
}

/** Options as they hold: given, preset, default. Throws an Error, a sentence, naming the first that is wrong. */
export function resolveOptions(recipe: Recipe, given: Readonly<Record<string, string>>): Resolved {
  const preset = presetOf(recipe);
  const fields = new Map(fieldsOf(recipe).map((field) => [field.key, field]));
  const values: Record<string, unknown> = { ...preset };
  for (const [key, text] of Object.entries(given)) {
    const field = fields.get(key);
    if (!field || text.trim() === "") continue;
    values[key] = field.kind === "number" ? Number(text) : field.kind === "switch" ? text === "true" : text;
    if (field.kind === "number" && !Number.isFinite(values[key]))
      throw new Error(`--${field.flag} is "${text}", expected a number.`);
  }
  const shape = recipe.options.shape;
  const read = recipe.options.safeParse(Object.fromEntries(Object.entries(values).filter(([key]) => key in shape)));
  if (!read.success) {
    const { path, message } = read.error.issues[0];
    const key = String(path[0]);
    throw new Error(`--${flagOf(key)} is ${values[key]}: ${message}.`);
  }
  const positive = (key: string, whole: boolean): number => {
    const value = Number(values[key]);
    if (!(value > 0) || (whole && !Number.isInteger(value)))
      throw new Error(`--${key} is ${values[key]}, expected a ${whole ? "whole " : ""}number above 0.`);
    return value;
  };
  const { ema, warmup, clip, dropLabels } = { ...training, ema: recipe.training.ema, ...numbersIn(preset) };
  const [batch, images, lr] = [positive("batch", true), positive("images", true), positive("lr", false)];
  if (batch > 4096) throw new Error(`--batch is ${batch}, expected at most 4096 in a tab.`);
  return { own: read.data, training: { batch, images, lr, ema, warmup, clip, dropLabels, decay: "cosine" } };
}
