// What the tables of methods share.
import { stepsOf } from "./methodRuns.ts";

export const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
/** Of a sample; 0 for a single number. */
const deviation = (x: readonly number[]): number =>
  x.length < 2 ? 0 : Math.sqrt(x.reduce((s, v) => s + (v - mean(x)) ** 2, 0) / (x.length - 1));
export const spread = (x: readonly number[], digits: number): string =>
  x.length < 2 ? x[0].toFixed(digits) : `${mean(x).toFixed(digits)} ± ${deviation(x).toFixed(digits)}`;
export const thousands = (x: number): string => Math.round(x / 1000).toLocaleString("en-US");
/** Bold where it is as good as the goal. */
export const against = (goal: number, ratios: readonly number[]): string =>
  mean(ratios) <= goal ? `**${spread(ratios, 2)}**` : spread(ratios, 2);

/** A table at the steps that the methods are made for, or at further ones: every method, its runs by data, its steps. */
export function tableOf<R extends { readonly method: string; readonly data: string }>(
  which: "goal" | "more",
  {
    head,
    runs,
    line,
  }: { head: readonly string[]; runs: readonly R[]; line: (runs: readonly R[], steps: number) => readonly unknown[] },
): string {
  const sets = [...new Set(runs.map(({ data }) => data))];
  const lines = Object.keys(stepsOf).flatMap((method) =>
    sets.flatMap((data) => {
      const own = runs.filter((r) => r.method === method && r.data === data);
      return own.length === 0 ? [] : stepsOf[method][which].map((steps) => `| ${line(own, steps).join(" | ")} |`);
    }),
  );
  const rule = head.map((name) => (name === "method" || name === "data" ? "---" : "--:"));
  return [`| ${head.join(" | ")} |`, `|${rule.join("|")}|`, ...lines].join("\n");
}
