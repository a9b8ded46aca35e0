// What a network is told besides state and time: named columns, of which class labels are one.

import { broadcastTo, constant, type Shape, type Tensor } from "./graph/index.ts";

/** A column of conditions: one value of this shape per sample. */
export interface Column {
  /** Of one sample: [] a number or a label, [77, 768] a text. */
  readonly shape: Shape;
  readonly dtype: "float32" | "int64";
  /** "data": comes with the samples. "method": the method computes it (the guidance of LCM, the span of MeanFlow). */
  readonly given: "data" | "method";
  /** The value that means "nothing is given", for guidance. Without it the column cannot be dropped. */
  readonly none?: Float32Array | BigInt64Array;
  /** int64: values are 0 … rows − 1. */
  readonly rows?: number;
}
export type Columns = Readonly<Record<string, Column>>;

/** Tensors [B, ...shape] by the names of the columns. */
export type Cond = Readonly<Record<string, Tensor>>;

/** Class labels: `rows` of an embedding, of which the last means "no label" unless the network was trained without. */
export const labelColumn = (rows: number, { nullLabel = true }: { nullLabel?: boolean } = {}): Column => ({
  shape: [],
  dtype: "int64",
  given: "data",
  rows,
  ...(nullLabel ? { none: BigInt64Array.of(BigInt(rows - 1)) } : {}),
});

/** The guidance that a network was told (LCM's w = g − 1), and the length of the interval it steps over (MeanFlow). */
export const numberColumn = (none?: number): Column => ({
  shape: [],
  dtype: "float32",
  given: "method",
  ...(none === undefined ? {} : { none: Float32Array.of(none) }),
});

/** Classes, "no label" not counted; 0 for a model without labels. */
export const classCount = ({ labels }: Columns): number =>
  labels?.rows === undefined ? 0 : labels.rows - (labels.none ? 1 : 0);

/** The label that means "no label"; null where there is none. */
export const nullLabel = ({ labels }: Columns): number | null =>
  labels?.none === undefined ? null : Number(labels.none[0]);

/** Whether classifier-free guidance is possible: something given with the data can be left out. */
export const canBeGuided = (columns: Columns): boolean =>
  Object.values(columns).some((c) => c.given === "data" && c.none !== undefined);

/** The same conditions with nothing given; columns that have no such value, and those of the method, stay. */
export function withoutData(columns: Columns, cond: Cond, batch: number): Cond {
  return Object.fromEntries(
    Object.entries(cond).map(([name, given]) => {
      const { none, shape, given: by } = columns[name];
      if (none === undefined || by === "method") return [name, given];
      if (none instanceof BigInt64Array && shape.length === 0)
        return [name, constant(new BigInt64Array(batch).fill(none[0]), [batch])];
      return [name, broadcastTo(constant(none, [1, ...shape]), [batch, ...shape])];
    }),
  );
}

/** Throws a RangeError, one sentence, unless exactly the columns of a network are given. */
export function checkCond(columns: Columns, cond: Cond): void {
  for (const name of Object.keys(columns))
    if (!cond[name])
      throw new RangeError(
        name === "labels"
          ? "This network is conditioned on classes: labels [B] int64 are needed."
          : `This network is conditioned on "${name}" [B${columns[name].shape.map((d) => `, ${d}`).join("")}], which is missing.`,
      );
  for (const name of Object.keys(cond))
    if (!columns[name])
      throw new RangeError(
        name === "labels"
          ? "This network has no classes: labels cannot be given."
          : `This network is not conditioned on "${name}", which was given.`,
      );
}
