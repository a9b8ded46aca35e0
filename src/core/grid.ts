// Time grids: falling times from noise to data, steps + 1 of them.
import { type Form, logSnr } from "./form.ts";
import type { Windows } from "./windows.ts";

/** Falling times; sampling goes from grid[0] to grid.at(-1) in grid.length - 1 steps. */
export type Grid = readonly number[];

export interface Span {
  /** First time, default 1 (noise). */
  from?: number;
  /** Last time, default 0 (data). */
  to?: number;
}

/** @throws RangeError unless the times fall strictly within [0, 1]. */
export function checkGrid(times: Grid): Grid {
  if (times.length < 2) throw new RangeError(`A grid of ${times.length} times has no step. Expected at least 2 times.`);
  times.forEach((t, i) => {
    if (!(t >= 0 && t <= 1)) throw new RangeError(`Grid time ${i} is ${t}. Expected a time in [0, 1].`);
    if (i > 0 && !(t < times[i - 1])) {
      throw new RangeError(`Grid times ${i - 1} and ${i} are ${times[i - 1]} and ${t}. Expected falling times.`);
    }
  });
  return times;
}

export function checkSteps(steps: number): number {
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`Number of steps is ${steps}. Expected a positive integer.`);
  return steps;
}

/** Fractions 0, 1/steps, ..., 1 turned into times, with both ends exact. */
const along = (steps: number, from: number, to: number, at: (q: number) => number): Grid =>
  checkGrid(
    Array.from({ length: checkSteps(steps) + 1 }, (_, i) => (i === 0 ? from : i === steps ? to : at(i / steps))),
  );

/** steps + 1 evenly spaced times, falling from `from` to `to`; on [0, 1] where nothing is given. */
export const uniformGrid = (steps: number, { from = 1, to = 0 }: Span = {}): Grid =>
  along(steps, from, to, (q) => from + (to - from) * q);

/** Uniform in √t: denser near the data (DDIM, appendix D.2, "quadratic"). */
export const quadraticGrid = (steps: number, { from = 1, to = 0 }: Span = {}): Grid =>
  along(steps, from, to, (q) => (Math.sqrt(from) + (Math.sqrt(to) - Math.sqrt(from)) * q) ** 2);

/** Uniform, then pushed towards noise: t -> k t / (1 + (k - 1) t) (Esser et al. 2024, eq. 23). */
export function shiftedGrid(steps: number, shift: number, { from = 1, to = 0 }: Span = {}): Grid {
  if (!(shift > 0 && Number.isFinite(shift))) throw new RangeError(`Shift is ${shift}. Expected a positive number.`);
  const [pushed, back] = [shift, 1 / shift].map((k) => (t: number) => (k * t) / (1 + (k - 1) * t));
  const [a, b] = [back(from), back(to)];
  return along(steps, from, to, (q) => pushed(a + (b - a) * q));
}

/** Uniform in log-SNR (DPM-Solver's choice). Both ends need a finite log-SNR; defaults are the form's tMax and tMin. */
export function logSnrGrid(form: Form, steps: number, span: Span = {}): Grid {
  const { from, to, a, b } = finiteEnds(form, span);
  return along(steps, from, to, (q) => form.tAt(a + (b - a) * q));
}

/** Uniform in (sigma/alpha)^(1/rho) (Karras et al. 2022, eq. 5). */
export function karrasGrid(form: Form, steps: number, { rho = 7, ...span }: Span & { rho?: number } = {}): Grid {
  const { from, to, a, b } = finiteEnds(form, span);
  const [high, low] = [Math.exp(-a / rho), Math.exp(-b / rho)];
  return along(steps, from, to, (q) => form.tAt(-rho * Math.log(high + (low - high) * q)));
}

function finiteEnds(form: Form, { from = form.tMax, to = form.tMin }: Span) {
  const [a, b] = [logSnr(form, from), logSnr(form, to)];
  if (!Number.isFinite(a) || !Number.isFinite(b)) {
    throw new RangeError(
      `The form ${form.name} has half log-SNR ${a} at t = ${from} and ${b} at t = ${to}. ` +
        "Expected finite values: choose `from` below 1 and `to` above 0.",
    );
  }
  return { from, to, a, b };
}

/** Steps per window: as equal as possible, extra steps to the noisiest windows (PeRFlow's scheduler). */
export function stepsPerWindow(windows: Windows, steps: number): number[] {
  if (checkSteps(steps) < windows.count) {
    throw new RangeError(
      `${steps} steps cannot cover ${windows.count} windows. Expected at least one step per window.`,
    );
  }
  const share = Math.floor(steps / windows.count);
  return Array.from({ length: windows.count }, (_, i) => share + (i < steps % windows.count ? 1 : 0));
}

/** Uniform inside every window, through every window edge. */
export function windowGrid(windows: Windows, steps: number): Grid {
  const inner = stepsPerWindow(windows, steps).flatMap((n, i) => {
    const [start, end] = [windows.edges[i], windows.edges[i + 1]];
    return Array.from({ length: n }, (_, m) => start + ((end - start) * m) / n);
  });
  return checkGrid([...inner, 0]);
}

export type Spacing = "leading" | "trailing" | "linspace";

/**
 * diffusers' spacings of T training steps as times (index + 1) / T, ending at t = 0.
 * trailing starts at the last index, leading at (steps - 1)·floor(T/steps) + offset, linspace covers 0..T-1.
 */
export function spacedGrid(spacing: Spacing, steps: number, total = 1000, offset = 0): Grid {
  checkSteps(steps);
  if (steps > total) throw new RangeError(`${steps} steps exceed the ${total} training steps of the table.`);
  const index = (i: number): number => {
    if (spacing === "trailing") return Math.round(total - (i * total) / steps) - 1;
    if (spacing === "leading") return (steps - 1 - i) * Math.floor(total / steps) + offset;
    return steps === 1 ? total - 1 : Math.round(((steps - 1 - i) * (total - 1)) / (steps - 1));
  };
  return checkGrid([...Array.from({ length: steps }, (_, i) => (index(i) + 1) / total), 0]);
}
