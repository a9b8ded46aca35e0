// Numbers as people read them.

/** "42 s", "3 min 05 s", "2 h 07 min", "3 d 04 h". */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** Three digits below a thousand. */
export function formatSpeed(perSecond: number): string {
  return perSecond >= 100 ? grouped(Math.round(perSecond)) : String(Number(perSecond.toPrecision(3)));
}

/** Four digits; very small and very large ones with an exponent. NaN shows as it is. */
export function formatLoss(loss: number): string {
  const size = Math.abs(loss);
  return size !== 0 && (size < 1e-4 || size >= 1e5) ? loss.toExponential(3) : loss.toPrecision(4);
}

/** "12,800", rounded down. */
export const grouped = (n: number) => Math.floor(n).toLocaleString("en-US");
