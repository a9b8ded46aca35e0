/** Norm of a − b over norm of b − origin, which is zero unless given. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>, origin?: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += (b[i] - (origin?.[i] ?? 0)) ** 2;
  }
  return Math.sqrt(difference / size);
}
