// What a comparison keeps in files of its own, read with care: a number that is none would stand in a report.
import * as z from "zod";
import { show } from "../../core/show.ts";
import { firstIssue } from "../../nn/config.ts";
import { readJson } from "../files.ts";

const number = z.number();
const count = z.int().nonnegative();
const path = z.object({ straightness: number.nullable(), firstOrder: number.nullable() });

export const numbersSchema = z.object({
  at: z.array(
    z.object({
      steps: z.int().positive(),
      nfe: number.nonnegative(),
      seconds: number.nonnegative(),
      values: z.record(
        z.string(),
        z.object({
          value: number,
          n: number.nonnegative(),
          standardError: number.optional(),
          interval: z.tuple([number, number]).optional(),
          floor: number.optional(),
          notes: z.array(z.string()),
        }),
      ),
    }),
  ),
  flow: path,
  steps: z.array(path.extend({ steps: z.int().positive() })),
  notes: z.array(z.string()),
});

export const finishedSchema = z.object({
  images: count,
  teacherEvaluations: number.nonnegative(),
  seconds: number.nonnegative(),
  resumed: z.boolean().optional(),
});

export const secondsSchema = z.object({ seconds: number.nonnegative() });

/** Throws an Error that names file, key and value, and says what to do. */
export async function readStored<S extends z.ZodType>(file: string, schema: S): Promise<z.output<S>> {
  return storedIn(await readJson(file), file, schema);
}

export function storedIn<S extends z.ZodType>(json: unknown, file: string, schema: S): z.output<S> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const { key, value, why } = firstIssue(result.error, json);
  throw new Error(
    `${file} is damaged: ${key || "the whole file"} is ${show(value)} (${why}). Remove it, and it is made again.`,
  );
}
