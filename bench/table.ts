// Rows of the benchmark, and how they are printed.

import type { RivalRows } from "./rivals/measure.ts";

export interface Row {
  readonly case: string;
  readonly phase: string;
  readonly oursMs: number;
  /** Null where there is no PyTorch to compare with. */
  readonly torchMs: number | null;
  /** Median over rounds of ours over PyTorch's: below 1 we are faster. Null also where PyTorch has no fast BLAS. */
  readonly ratio: number | null;
  /** First and third quartile of the rounds' ratios. */
  readonly quartiles: readonly [number, number] | null;
  /** The same ratio of processor times: what other processes do matters less to it. */
  readonly cpuRatio: number | null;
  /** Share of the machine's processors that other processes used meanwhile; null outside Linux. */
  readonly disturbed: number | null;
  readonly rounds: number;
  readonly peakMiB: number | null;
  readonly torchPeakMiB: number | null;
  /** Of matrix products and convolutions, per second of our run. */
  readonly gflops: number;
  /** The fastest matrix product or convolution measured in this run, on either side: what gflops could reach. */
  readonly peakGflops: number;
  /** What the ratio would be if our run were nothing but products at that speed: no float32 program gets below it. */
  readonly bound: number | null;
  /** Largest relative difference to PyTorch of output, loss, norm or gradient. */
  readonly difference: number | null;
  /** Only away from the CPU. */
  readonly device?: string;
  readonly precision?: string;
  /** Relative distance of losses and norms over a few steps from the CPU's. */
  readonly curve?: number | null;
  /** Other JavaScript engines on the same phase, where they are installed. */
  readonly rivals?: RivalRows;
}

/** The value at quantile q of an unsorted list. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.ceil(at)] - sorted[low]);
}
export const median = (values: readonly number[]): number => quantile(values, 0.5);

const columns: readonly (readonly [title: string, cell: (r: Row) => string])[] = [
  ["case", (r) => r.case],
  ["phase", (r) => r.phase],
  ["ours ms", (r) => milliseconds(r.oursMs)],
  ["torch ms", (r) => (r.torchMs === null ? "-" : milliseconds(r.torchMs))],
  ["ratio", (r) => r.ratio?.toFixed(2) ?? "-"],
  ["bound", (r) => r.bound?.toFixed(2) ?? "-"],
  ["quartiles", (r) => r.quartiles?.map((q) => q.toFixed(2)).join("-") ?? "-"],
  ["cpu ratio", (r) => r.cpuRatio?.toFixed(2) ?? "-"],
  ["others", (r) => (r.disturbed === null ? "-" : `${(100 * r.disturbed).toFixed(0)} %`)],
  ["GFLOP/s", (r) => `${r.gflops.toFixed(0)} of ${r.peakGflops.toFixed(0)}`],
  ["MiB", (r) => r.peakMiB?.toFixed(0) ?? "-"],
  ["torch MiB", (r) => r.torchPeakMiB?.toFixed(0) ?? "-"],
  ["difference", (r) => r.difference?.toExponential(0) ?? "-"],
];
const milliseconds = (ms: number): string => ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);

const width = (i: number): number => [9, 16, 8, 8, 6, 6, 9, 9, 6, 10, 6, 9, 10][i];
export const heading = (): string => line(columns.map(([title]) => title));
export const printed = (row: Row): string => line(columns.map(([, cell]) => cell(row)));
const line = (cells: readonly string[]): string =>
  cells.map((c, i) => (i < 2 ? c.padEnd(width(i)) : c.padStart(width(i)))).join("  ");
