// What `fewstep accelerate` can do follows from the recipes: flags with their texts and defaults, and what belongs to whom.

import * as z from "zod";
import { brief } from "../core/show.ts";
import { recipes } from "../recipes/index.ts";
import type { Recipe, SampleKind, Start } from "../recipes/recipe.ts";
import { UsageError } from "./failure.ts";
import { defaultOf, flagName, parseOptions } from "./options.ts";

export type AnyRecipe = Recipe;
export const allMethods: readonly AnyRecipe[] = recipes as unknown as readonly AnyRecipe[];

export const methods: readonly string[] = allMethods.map(({ name }) => name);

/** Throws UsageError for a method that does not exist. */
export function methodNamed(name: string): AnyRecipe {
  const found = allMethods.find((recipe) => recipe.name === name);
  if (found) return found;
  throw new UsageError(`--method ${brief(name, 60)} is no method; there are: ${methods.join(", ")}.`);
}

function merged(key: string): z.ZodType {
  const having = allMethods.filter(({ options }) => key in options.shape);
  const schemas = having.map(({ options }) => options.shape[key] as z.ZodType);
  const inner = schemas.map(withoutDefault);
  const choices = inner.flatMap((s) => (s instanceof z.ZodEnum ? s.options.map(String) : []));
  const type = choices.length > 0 ? z.enum([...new Set(choices)] as [string, ...string[]]) : inner[0];
  const texts = grouped(having.map(({ name }, i) => [name, String(schemas[i].meta()?.description ?? "")]));
  const text = texts.map(([said, who], i) =>
    i === 0 && (texts.length === 1 || who.length > 1) ? said : `${who.join(", ")}: ${said}`,
  );
  const defaults = defaultsOf(having.map(({ name }, i) => [name, defaultOf(schemas[i])]));
  return type.optional().describe(`${text.join(" ")}${defaults && ` (${defaults})`}`);
}

/** A recipe's options as they are given: what is not given can be told from what is. */
export const asGiven = ({ options }: AnyRecipe): Readonly<Record<string, z.ZodType>> =>
  Object.fromEntries(Object.entries(options.shape).map(([key, s]) => [key, withoutDefault(s as z.ZodType).optional()]));

/** Methods by what is said for them, most methods first. */
function grouped(pairs: readonly (readonly [method: string, said: string])[]): [said: string, methods: string[]][] {
  const groups = new Map<string, string[]>();
  for (const [method, said] of pairs) groups.set(said, [...(groups.get(said) ?? []), method]);
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}

const withoutDefault = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodDefault || schema instanceof z.ZodOptional
    ? withoutDefault(schema.unwrap() as z.ZodType)
    : schema;

/** "default 8; 50 for rectified-diffusion": what most have, then who differs. "" where the text says what is taken. */
export function defaultsOf(pairs: readonly (readonly [method: string, value: unknown])[]): string {
  const groups = grouped(pairs.flatMap(([method, value]) => (value === undefined ? [] : [[method, textOf(value)]])));
  const few = pairs.length <= 3 ? `of ${pairs.map(([method]) => method).join(", ")}` : "";
  const values = groups.map(([value, who], i) =>
    groups.length === 1 || (i === 0 && who.length > 1) ? value : `${value} for ${who.join(", ")}`,
  );
  return [values.length > 0 ? `default ${values.join("; ")}` : "", groups.length > 1 ? "" : few]
    .filter(Boolean)
    .join("; ");
}

const textOf = (value: unknown): string => (Array.isArray(value) && value.length === 0 ? "none" : String(value));

/** Options that the methods have, each once and without its default, which the text says for every method that has it. */
export const methodOptions: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  [...new Set(allMethods.flatMap(({ options }) => Object.keys(options.shape)))].map((key) => [key, merged(key)]),
);

/**
 * The options of a method: what is given, then the preset, then its defaults. Throws UsageError for one that it does not
 * have, or of another kind.
 */
export function resolveMethod(
  recipe: AnyRecipe,
  given: Readonly<Record<string, unknown>>,
  preset: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const own = recipe.options.shape;
  const flags = (keys: readonly string[]) => keys.map((key) => `--${flagName(key)}`).join(", ");
  const foreign = Object.keys(methodOptions).filter((key) => given[key] !== undefined && !(key in own));
  if (foreign.length > 0)
    throw new UsageError(
      `${flags(foreign)} ${foreign.length === 1 ? "does" : "do"} not belong to ${recipe.name}, which has: ${flags(Object.keys(own))}.`,
    );
  const set = Object.fromEntries(
    Object.keys(own).flatMap((key) => {
      const value = given[key] ?? preset[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
  return parseOptions(recipe.options, set);
}

/**
 * Throws UsageError with all options that are given and do nothing with the others; given as they would be anyway they
 * do no harm.
 */
export function refuseIdle(
  recipe: AnyRecipe,
  options: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
  preset: Readonly<Record<string, unknown>>,
  teacher?: Start,
): void {
  const usual = (key: string) => preset[key] ?? defaultOf(recipe.options.shape[key] as z.ZodType);
  const said = Object.entries(recipe.idle?.(options, teacher) ?? {})
    .filter(([key]) => given[key] !== undefined && String(given[key]) !== String(usual(key)))
    .map(([key, why]) => `--${flagName(key)} does nothing ${why}`);
  if (said.length > 0)
    throw new UsageError(`${recipe.name}: ${said.join("; ")}. Leave ${said.length === 1 ? "it" : "them"} out.`);
}

/** What a method takes beside its own options where nothing is given. */
export const presetOf = (
  recipe: AnyRecipe,
  preset: "paper" | "small",
  kind: SampleKind,
): Readonly<Record<string, unknown>> => (preset === "small" ? (recipe.small?.[kind] ?? {}) : {});

/** Points are samples without height and width. */
export const kindOf = (sampleShape: readonly number[]): SampleKind =>
  sampleShape.slice(1).every((size) => size === 1) ? "points" : "images";
