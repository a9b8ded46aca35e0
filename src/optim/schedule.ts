// Learning rates as functions of progress.

/** `final` is the last rate as a fraction of the peak; `warmup` counts steps. */
export interface RateSchedule {
  readonly kind: "constant" | "cosine";
  readonly peak: number;
  readonly warmup: number;
  readonly final: number;
}

/** The rate of step k (1 … total): linear warm-up, then constant or a half cosine down to final·peak. */
export function rateAt({ kind, peak, warmup, final }: RateSchedule, k: number, total: number): number {
  const rise = Math.min(1, k / Math.max(1, warmup));
  if (kind === "constant") return peak * rise;
  const progress = Math.min(1, Math.max(0, (k - warmup) / Math.max(1, total - warmup)));
  return peak * rise * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
