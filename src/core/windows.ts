// Windows: a partition of (0, 1] into half-open pieces (end, start], listed from noise to data.

/** `edges` are integer ticks out of `total`, from `total` down to 0. */
export type WindowsSpec =
  | { kind: "uniform"; count: number }
  | { kind: "ticks"; total: number; edges: readonly number[] };

export interface Window {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

export interface Windows {
  readonly count: number;
  /** 1 = start of the first window, ..., 0 = end of the last: count + 1 times. */
  readonly edges: readonly number[];
  /** The window that holds t; an edge belongs to the window it starts. Throws RangeError unless 0 < t <= 1. */
  of(t: number): Window;
  readonly spec: WindowsSpec;
}

/** `count` windows of equal length in t (PeRFlow, section 3). */
export function uniformWindows(count: number): Windows {
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`Number of windows is ${count}. Expected a positive integer.`);
  }
  const edges = Array.from({ length: count + 1 }, (_, i) => count - i);
  return build(count, edges, { kind: "uniform", count });
}

/** Windows between integer ticks, e.g. tickWindows(1000, [1000, 740, 500, 240, 0]). */
export function tickWindows(total: number, edges: readonly number[]): Windows {
  const falling = edges.every((e, i) => Number.isInteger(e) && (i === 0 || e < edges[i - 1]));
  if (!Number.isInteger(total) || !falling || edges.length < 2 || edges[0] !== total || edges.at(-1) !== 0) {
    throw new RangeError(`Window edges are [${edges.join(", ")}]. Expected integers falling from ${total} to 0.`);
  }
  return build(total, edges, { kind: "ticks", total, edges: [...edges] });
}

/** Times this close to an edge, in ticks, are the edge: comparing computed floats misplaces edges for K = 6, 7, 10. */
const rounding = 1e-9;

function build(total: number, ticks: readonly number[], spec: WindowsSpec): Windows {
  const count = ticks.length - 1;
  const edges = ticks.map((n) => n / total);
  return {
    count,
    edges,
    spec,
    of(t) {
      if (!(t > 0 && t <= 1)) throw new RangeError(`Time ${t} is in no window. Expected 0 < t <= 1.`);
      const nearest = Math.round(t * total);
      const tick = Math.abs(t * total - nearest) <= rounding && nearest > 0 ? nearest : t * total;
      // The last window whose start is still at or above the tick.
      let low = 0;
      let high = count - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (ticks[middle] >= tick) low = middle;
        else high = middle - 1;
      }
      return { index: low, start: edges[low], end: edges[low + 1] };
    },
  };
}
