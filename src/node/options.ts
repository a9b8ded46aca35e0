// Options are declared once, as a zod schema: flags, help, validation, config files and types all follow from it.

import * as z from "zod";
import { brief, show } from "../core/show.ts";
import { flagName, toConfig } from "../run/config.ts";
import { UsageError } from "./failure.ts";

export { flagName, toConfig };

const keyOf = (flag: string): string => flag.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

export type Kind = "number" | "string" | "boolean" | "enum" | "array";

export interface Described {
  readonly kind: Kind;
  readonly choices?: readonly string[];
  readonly element?: Described;
  readonly fallback?: unknown;
}

/** What kind of value a schema takes, looking through "optional" and "default". */
export function describe(schema: z.ZodType): Described {
  if (schema instanceof z.ZodOptional) return describe(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodDefault) {
    return { ...describe(schema.unwrap() as z.ZodType), fallback: schema.def.defaultValue };
  }
  if (schema instanceof z.ZodEnum) return { kind: "enum", choices: schema.options.map(String) };
  if (schema instanceof z.ZodArray) return { kind: "array", element: describe(schema.element as z.ZodType) };
  if (schema instanceof z.ZodNumber) return { kind: "number" };
  if (schema instanceof z.ZodBoolean) return { kind: "boolean" };
  if (schema instanceof z.ZodString) return { kind: "string" };
  throw new TypeError(`An option cannot be a ${schema.def.type}.`);
}

/** The default of a schema; undefined: none. */
export const defaultOf = (schema: z.ZodType): unknown => describe(schema).fallback;

/** Whether an option takes several values. */
export const isList = (schema: z.ZodType): boolean => describe(schema).kind === "array";

/** Throws UsageError naming the first option that is missing, unknown or wrong. `where` is a config file, if it came from one. */
export function parseOptions<T extends z.ZodObject>(
  schema: T,
  values: Readonly<Record<string, unknown>>,
  positional: readonly string[] = [],
): z.output<T> {
  const nameOf = (key: string) => (positional.includes(key) ? `<${flagName(key)}>` : `--${flagName(key)}`);
  const empty = Object.keys(values).find(
    (key) => key in schema.shape && isEmpty(values[key]) && !mayBeEmpty(schema.shape[key] as z.ZodType),
  );
  if (empty !== undefined) throw new UsageError(`${nameOf(empty)} is empty${hint(schema, empty)}.`);
  const result = z.strictObject(schema.shape).safeParse(values);
  if (result.success) return result.data as z.output<T>;
  const issue = result.error.issues[0];
  if (issue.code === "unrecognized_keys") throw new UsageError(`There is no option --${flagName(issue.keys[0])} here.`);
  const [key, ...inner] = issue.path.map(String);
  const name = nameOf(key ?? "");
  const value = values[key];
  if (value === undefined) throw new UsageError(`${name} is missing${hint(schema, key)}.`);
  const wrong = inner.length > 0 && Array.isArray(value) ? value[Number(inner[0])] : value;
  const shown = show(wrong);
  throw new UsageError(`${name} is ${shown}: expected ${inWords(schema.shape[key] as z.ZodType, issue.code)}.`);
}

/** An empty text is refused, unless its schema says that it means something: an empty prompt. */
const mayBeEmpty = (schema: z.ZodType): boolean => schema.meta()?.empty === true;

const isEmpty = (value: unknown): boolean =>
  value === "" || (Array.isArray(value) && value.some((v) => v === "") && value.every((v) => typeof v === "string"));

/** What an option takes: "one of cpu, cuda", "a whole number from 1", "a number from 0 and below 1". */
function inWords(schema: z.ZodType, problem: string): string {
  const { kind, choices, element } = describe(schema);
  const values = choices ?? element?.choices;
  if (values) return `one of ${values.join(", ")}`;
  if (kind === "boolean") return "true or false";
  if (kind === "string" || element?.kind === "string") return "text";
  const json = z.toJSONSchema(schema, { unrepresentable: "any" });
  const list =
    kind === "array" && typeof json.items === "object" && !Array.isArray(json.items) ? json.items : undefined;
  const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = list ?? json;
  const whole = type === "integer";
  const least = whole && typeof exclusiveMinimum === "number" ? exclusiveMinimum + 1 : minimum;
  const bounds = [
    least !== undefined && least !== Number.MIN_SAFE_INTEGER && `from ${least}`,
    !whole && exclusiveMinimum !== undefined && `above ${exclusiveMinimum}`,
    maximum !== undefined && (maximum !== Number.MAX_SAFE_INTEGER || problem === "too_big") && `to ${maximum}`,
    exclusiveMaximum !== undefined && `and below ${exclusiveMaximum}`,
  ];
  return [list ? "numbers, each" : "", `a ${whole ? "whole " : ""}number`, ...bounds].filter(Boolean).join(" ");
}

function hint(schema: z.ZodObject, key: string): string {
  const type = schema.shape[key] as z.ZodType | undefined;
  const about = type?.meta()?.description;
  return about ? `: ${lowerFirst(about.replace(/\.$/, ""))}` : "";
}

const lowerFirst = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** Throws UsageError for anything that is not an object of options. */
export function valuesIn(json: unknown, file: string): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new UsageError(`${file} is no set of options: expected an object like {"batch": 64}.`);
  return { ...json };
}

/** A config file's contents as values by key. Throws UsageError for an option that does not exist. */
export function valuesOf(
  json: Readonly<Record<string, unknown>>,
  file: string,
  schema: z.ZodObject,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [flag, value] of Object.entries(json)) {
    const key = keyOf(flag);
    if (!Object.hasOwn(schema.shape, key))
      throw new UsageError(`${file} has the option "${brief(flag, 80)}", which does not exist here.`);
    values[key] = value;
  }
  return values;
}
