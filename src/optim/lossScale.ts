// Dynamic loss scaling for half precision (Micikevicius et al. 2018, section 3.2; the rule of PyTorch's GradScaler): the
// loss is multiplied so that small gradients are not lost, and by less after a step in which large ones overflowed.

export interface LossScale {
  readonly value: number;
  /** Finite steps since it last changed. */
  readonly good: number;
  /** Steps left out so far. */
  readonly skipped: number;
}

export const firstLossScale: LossScale = { value: 2 ** 16, good: 0, skipped: 0 };
const GROW_AFTER = 2000;

/** The scale after a step whose gradient was finite or not. */
export function nextLossScale({ value, good, skipped }: LossScale, finite: boolean): LossScale {
  if (!finite) return { value: value / 2, good: 0, skipped: skipped + 1 };
  return good + 1 < GROW_AFTER ? { value, good: good + 1, skipped } : { value: value * 2, good: 0, skipped };
}
