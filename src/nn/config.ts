// Reading network configurations: defaults filled in, everything unsupported refused in one sentence.
import * as z from "zod";
import { brief, listed, show } from "../core/show.ts";

// Bounds far above every published network: what is larger is a slip or a trap, and would cost minutes to refuse later.
/** A number of channels, features or classes. */
export const width = z
  .int()
  .positive()
  .max(2 ** 20);
/** A number of layers, heads or blocks. */
export const few = z.int().positive().max(256);
/** A size in pixels. */
export const pixels = z
  .int()
  .positive()
  .max(2 ** 14);
/** Levels of a U-Net. */
export const LEVELS = 16;

/**
 * Parses a network's config. Keys that start with "_" (diffusers' bookkeeping) and unknown keys set to null are dropped;
 * any other unknown key, and any value outside the schema, throws a RangeError that names the key and the value.
 */
export function readConfig<T extends z.ZodObject>(family: string, schema: T, config: unknown): z.output<T> {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new RangeError(`The configuration of a ${family} network must be an object, got ${show(config)}.`);
  const known = Object.entries(config).filter(([key, value]) => {
    if (Object.hasOwn(schema.shape, key)) return true;
    if (key.startsWith("_") || value === null) return false;
    throw new RangeError(
      `${family}: "${brief(key, 80)}": ${show(value)} is not supported; remove the key if it has no effect.`,
    );
  });
  const parsed = schema.safeParse(Object.fromEntries(known));
  if (parsed.success) return parsed.data;
  const { key, value, why } = firstIssue(parsed.error, config);
  throw refused(family, key, value, why);
}

/** The first thing that is wrong with a value: where, what is there, and why it is refused. */
export function firstIssue(error: z.ZodError, whole: unknown): { key: string; value: unknown; why: string } {
  const issue = error.issues[0];
  const value = issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], whole);
  const why =
    issue.code === "unrecognized_keys"
      ? `unknown ${issue.keys.length === 1 ? "key" : "keys"} ${listed(issue.keys)}`
      : brief(issue.message.replace("received undefined", "received nothing"), 200);
  return { key: brief(issue.path.map(String).join("."), 80), value, why };
}

/** The error for a configuration value that is known but not supported. */
export const refused = (family: string, key: string, value: unknown, why: string): RangeError =>
  new RangeError(`${family}: "${key}": ${show(value)} is not supported (${why}).`);
