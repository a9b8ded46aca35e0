// Random choices that depend on parser, seed and number alone: any input can be made again.

export interface Rng {
  /** A whole number from 0, below n. */
  int(n: number): number;
  chance(p: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** sfc32 (Chris Doty-Humphrey), begun with a hash of the three. */
export function rngFor(parser: string, seed: number, index: number): Rng {
  let h = 2166136261;
  const mix = (value: number) => {
    for (let k = 0; k < 4; k++) h = Math.imul(h ^ ((value >>> (8 * k)) & 255), 16777619);
  };
  for (let i = 0; i < parser.length; i++) mix(parser.charCodeAt(i));
  mix(seed);
  let a = h;
  mix(index);
  let b = h;
  mix(Math.floor(index / 2 ** 32));
  let c = h;
  let d = 1;
  const next = (): number => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let k = 0; k < 12; k++) next();
  return {
    int: (n) => Math.floor(next() * n),
    chance: (p) => next() < p,
    pick: (list) => list[Math.floor(next() * list.length)],
  };
}
