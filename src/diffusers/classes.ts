// Which rows of a label embedding are classes, and whether the last one means "no class". diffusers' num_class_embeds only
// counts rows: trained with dropped labels for guidance there is one row more than classes, trained without there is not.

import { type Columns, labelColumn } from "../condition.ts";
import { show } from "../core/show.ts";

/** The key of unet/config.json that says it. diffusers skips keys that begin with an underscore. */
export const NULL_LABEL_KEY = "_null_label";

export interface LabelFacts {
  /** num_class_embeds: rows of the embedding; null for a network without classes. */
  readonly rows: number | null;
  /** Value of NULL_LABEL_KEY: the row that means "no class", or null for none; undefined where it is not written. */
  readonly written?: unknown;
  /** Number of classes of labeled data; undefined without data or without labels. */
  readonly dataClasses?: number;
  /** What the user says: whether the last row means "no class". It goes before everything else. */
  readonly nullClass?: boolean;
}

export interface Labels {
  /** Labels are 0 to classes − 1. 0: unconditional. */
  readonly classes: number;
  /** The label of "no class", or null: then nothing can be guided and no label can be dropped. */
  readonly nullLabel: number | null;
  /** A sentence where the answer is a reading of what is not written down. */
  readonly note?: string;
}

/**
 * Decides in this order: the user's word, what the configuration writes, the data (as many classes as rows: no null class;
 * one fewer: the last row is it), and without any of these diffusers' own meaning, where every row is a class.
 * Throws an Error where these contradict each other or leave it open: a class read as "no class" is lost silently.
 */
export function decideLabels({ rows, written, dataClasses, nullClass }: LabelFacts, name = "The teacher"): Labels {
  if (rows === null) {
    if (nullClass) throw new Error(`${name} has no classes, so it has no null class either. Leave that option out.`);
    return { classes: 0, nullLabel: null };
  }
  const withNull: Labels = { classes: rows - 1, nullLabel: rows - 1 };
  const without: Labels = { classes: rows, nullLabel: null };
  const told = nullClass ?? fromConfig(written, rows, name);
  const labels = told === undefined ? undefined : told ? withNull : without;
  if (labels) {
    if (labels.classes < 1)
      throw new Error(`${name} has one row of labels, which cannot be a null class: no class would be left.`);
    if (dataClasses !== undefined && dataClasses > labels.classes)
      throw new Error(
        `The data has ${dataClasses} classes, but ${name} has ${labels.classes}${labels.nullLabel === null ? "" : " and a null class"}. Take data with at most as many${nullClass && dataClasses === rows ? ", or say that it has no null class" : ""}.`,
      );
    return labels;
  }
  if (dataClasses === undefined)
    return {
      ...without,
      note: `${name} has num_class_embeds ${rows}: read as ${rows} classes without a null class, so without guidance. If the last one means "no class", say so with --null-class.`,
    };
  if (dataClasses === rows) return without;
  if (dataClasses === rows - 1) return withNull;
  if (dataClasses > rows)
    throw new Error(`The data has ${dataClasses} classes, but ${name} only ${rows}. Take data with at most as many.`);
  throw new Error(
    `${name} has ${rows} rows of labels and the data ${dataClasses} classes, so nothing tells whether the last row means "no class". Say it with --null-class or --no-null-class, or write "${NULL_LABEL_KEY}" into its unet/config.json: ${rows - 1}, or null for none.`,
  );
}

/** What tells of a folder's labels besides its own configuration. */
export type ClassFacts = Pick<LabelFacts, "dataClasses" | "nullClass">;

interface Labeled {
  readonly network: { readonly conditions: Columns };
  readonly model: { readonly conditions: Columns };
  readonly notes: readonly string[];
}

/** The same network and model with the labels that `decideLabels` says; a reading of what is not written is noted. */
export function withLabels<M extends Labeled>(built: M, facts: Omit<LabelFacts, "rows">, name: string): M {
  const rows = built.model.conditions.labels?.rows;
  const { nullLabel, note } = decideLabels({ ...facts, rows: rows ?? null }, name);
  if (rows === undefined) return built;
  const labels = labelColumn(rows, { nullLabel: nullLabel !== null });
  const told = <T extends { readonly conditions: Columns }>(of: T): T => ({
    ...of,
    conditions: { ...of.conditions, labels },
  });
  const notes = built.notes.filter((text) => !text.includes("num_class_embeds"));
  return {
    ...built,
    network: told(built.network),
    model: told(built.model),
    notes: note ? [...notes, note] : notes,
  };
}

/** What a configuration writes of its null label: undefined where it says nothing. */
export const writtenLabel = (config: unknown): unknown =>
  typeof config === "object" && config !== null && Object.hasOwn(config, NULL_LABEL_KEY)
    ? (config as Record<string, unknown>)[NULL_LABEL_KEY]
    : undefined;

function fromConfig(written: unknown, rows: number, name: string): boolean | undefined {
  if (written === undefined) return undefined;
  if (written === null) return false;
  if (written === rows - 1) return true;
  throw new Error(
    `${name} has "${NULL_LABEL_KEY}": ${show(written)} with num_class_embeds ${rows}. Expected ${rows - 1}, its last row, or null for none.`,
  );
}
