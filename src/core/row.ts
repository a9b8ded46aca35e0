// Rows: everything a diffusion model knows or predicts reads a·x0 + b·eps from one hidden pair.

/** Reads `a·x0 + b·eps` from a hidden pair (x0, eps). */
export type Row = readonly [a: number, b: number];

/** The determinant of two rows; 0 where they say the same of data and noise. */
export const det = ([a, b]: Row, [c, d]: Row): number => a * d - b * c;

/** Relative determinant below which two rows count as one: a few hundred float64 roundings. */
const singular = 1e-13;

const same = (x: Row, y: Row): boolean => x[0] === y[0] && x[1] === y[1];
const show = ([a, b]: Row): string => `[${a}, ${b}]`;

/** 1/|det| of the normalized rows; 1 is perfect, Infinity is singular. */
export function conditioning(have: Row, pred: Row): number {
  const d = Math.abs(det(have, pred)) / (Math.hypot(...have) * Math.hypot(...pred));
  return d > singular ? 1 / d : Number.POSITIVE_INFINITY;
}

/**
 * The row `want` from two known rows, by Cramer's rule: wanted = p·(what `have` reads) + q·(what `pred` reads).
 * Reading a row one already has is exact ([1, 0] or [0, 1]), even where the other is parallel to it.
 * @throws RangeError if `have` and `pred` are parallel or not finite. Never clamps.
 */
export function transfer(have: Row, pred: Row, want: Row): Row {
  if (same(want, have)) return [1, 0];
  if (same(want, pred)) return [0, 1];
  const d = det(have, pred);
  const scale = Math.hypot(...have) * Math.hypot(...pred);
  if (!(Math.abs(d) > singular * scale) || !Number.isFinite(scale)) {
    throw new RangeError(
      `Singular read: state row ${show(have)} and prediction row ${show(pred)} have determinant ${d}, ` +
        `so row ${show(want)} cannot be read from them. Expected two rows that are not parallel.`,
    );
  }
  return [det(want, pred) / d, det(have, want) / d];
}
