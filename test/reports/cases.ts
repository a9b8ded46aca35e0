// The cases of a folder: what is read, and what must be seen.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const numbers = z.array(z.number());
const feed = z.union([numbers, z.object({ shape: numbers, data: numbers })]);
/** Feeds and outputs by name, or outputs in their order. */
export const onnxValues = z.object({
  feeds: z.record(z.string(), feed).optional(),
  outputs: z.union([z.array(feed), z.record(z.string(), feed)]).optional(),
  ort: z.array(feed).optional(),
});
export type Feed = z.infer<typeof feed>;

const dataExpectation = z.strictObject({
  error: z.literal(true).optional(),
  note: z.literal(true).optional(),
  size: z.number().optional(),
  classes: z.number().optional(),
  names: z.array(z.string()).optional(),
  labels: numbers.optional(),
  labeled: z.boolean().optional(),
  shape: numbers.optional(),
  firstRow: numbers.optional(),
  firstPixels: numbers.optional(),
  corner: numbers.optional(),
});
export type DataExpectation = z.infer<typeof dataExpectation>;

const path = z.string();
const caseSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("onnx"),
    path,
    values: path.optional(),
    rtol: z.number().default(1e-5),
    ...onnxValues.shape,
  }),
  z.object({
    kind: z.literal("data"),
    path,
    split: z.enum(["train", "test"]).optional(),
    expect: z.array(dataExpectation).min(1),
  }),
  z.object({
    kind: z.literal("teacher"),
    path,
    expect: z.strictObject({
      loads: z.literal(true).optional(),
      classes: z.number().optional(),
      nullLabel: z.number().nullable().optional(),
      trainable: z.literal(true).optional(),
    }),
    values: path.optional(),
    rtol: z.number().default(1e-4),
  }),
  z.object({ kind: z.literal("safetensors"), path, expect: z.strictObject({ header: z.literal(true) }) }),
  z.object({ kind: z.literal("hostile"), path, reader: z.string() }),
]);
export type Case = z.infer<typeof caseSchema>;

export const casesOf = (folder: string): Case[] =>
  z.array(caseSchema).parse(JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")));

/** What a child is asked to read. */
export interface Question {
  readonly root: string;
  readonly test: Case;
}

/** What it saw, or the error it caught. */
export type Answer =
  | { readonly seen: Readonly<Record<string, unknown>> }
  | { readonly error: { readonly name: string; readonly message: string } };

/** Why a message is not one clear sentence, or undefined. */
export function unclear(message: string, longest = 500): string | undefined {
  if (message.length > longest) return `${message.length} characters`;
  if (message.includes("\n")) return "several lines";
  if (message.trim().length < 10) return "no words";
  const raw = message.match(
    /\bundefined\b|\bNaN bytes|\b(Type|Range|Syntax|Reference)Error\b|Cannot read|is not a function|not iterable|Invalid (typed )?array|Array buffer|call stack|\[object /,
  );
  return raw?.[0];
}
