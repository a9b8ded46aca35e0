// Counter-based random numbers: same key, same bytes, on every machine. Nothing is global.

/** Four 32-bit words. Make one with `key`, derive others with `fold`. */
export type Key = readonly [number, number, number, number];

const rotations = Uint8Array.of(10, 26, 11, 21, 13, 27, 23, 5, 6, 20, 17, 11, 25, 10, 18, 20);

/** Threefry-4x32, 20 rounds (Salmon et al. 2011): 128 counter bits to 128 random bits under a 128-bit key. */
export function threefry(key: Key, counter: Key, out: Uint32Array = new Uint32Array(4)): Uint32Array {
  // Keys in variables, not in a list that turns with the rounds: drawing noise must not show beside a network.
  let k0 = key[0] | 0;
  let k1 = key[1] | 0;
  let k2 = key[2] | 0;
  let k3 = key[3] | 0;
  let k4 = 0x1bd11bda ^ k0 ^ k1 ^ k2 ^ k3;
  let a = (counter[0] + k0) | 0;
  let b = (counter[1] + k1) | 0;
  let c = (counter[2] + k2) | 0;
  let d = (counter[3] + k3) | 0;
  for (let four = 1; four <= 5; four++) {
    // Two double rounds: even ones mix (a, b) and (c, d), odd ones (a, d) and (c, b).
    for (let r = (four & 1) === 1 ? 0 : 8, end = r + 8; r < end; r += 4) {
      a = (a + b) | 0;
      b = ((b << rotations[r]) | (b >>> (32 - rotations[r]))) ^ a;
      c = (c + d) | 0;
      d = ((d << rotations[r + 1]) | (d >>> (32 - rotations[r + 1]))) ^ c;
      a = (a + d) | 0;
      d = ((d << rotations[r + 2]) | (d >>> (32 - rotations[r + 2]))) ^ a;
      c = (c + b) | 0;
      b = ((b << rotations[r + 3]) | (b >>> (32 - rotations[r + 3]))) ^ c;
    }
    const first = k0;
    k0 = k1;
    k1 = k2;
    k2 = k3;
    k3 = k4;
    k4 = first;
    a = (a + k0) | 0;
    b = (b + k1) | 0;
    c = (c + k2) | 0;
    d = (d + k3 + four) | 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
  return out;
}

const words = (block: Uint32Array): Key => [block[0], block[1], block[2], block[3]];

/** @throws RangeError unless the seed is a safe non-negative integer. */
export function key(seed: number): Key {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`Seed is ${seed}. Expected an integer from 0 to 2^53 - 1.`);
  }
  return words(threefry([seed >>> 0, Math.floor(seed / 2 ** 32), 0, 0], [0, 0, 0, 0]));
}

/** A new key from a key and any data: fold(key, "noise", step). Different data, independent streams. */
export function fold(from: Key, ...data: (number | string)[]): Key {
  const bits = new DataView(new ArrayBuffer(8));
  return data.reduce<Key>((parent, item) => {
    if (typeof item === "number") {
      bits.setFloat64(0, item === 0 ? 0 : item);
      return words(threefry(parent, [bits.getUint32(0), bits.getUint32(4), 0, 1]));
    }
    let next = words(threefry(parent, [item.length, 0, 0, 2]));
    for (let i = 0; i < item.length; i += 2) {
      next = words(threefry(next, [item.charCodeAt(i), item.charCodeAt(i + 1) | 0, i, 3]));
    }
    return next;
  }, from);
}

/** The 32-bit words of a key's stream, in order. */
function stream(from: Key): () => number {
  const block = new Uint32Array(4);
  const counter: [number, number, number, number] = [0, 0, 0, 4];
  let used = 4;
  return () => {
    if (used === 4) {
      threefry(from, counter, block);
      counter[0] = (counter[0] + 1) >>> 0;
      if (counter[0] === 0) counter[1]++;
      used = 0;
    }
    return block[used++];
  };
}

/** n numbers in [0, 1), 53 random bits each. */
export function uniform(from: Key, n: number): Float64Array {
  const next = stream(from);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) out[i] = ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
  return out;
}

/** n standard normal numbers (polar method, so only +, -, ·, / and √ are used: the bytes are the same everywhere). */
export function normal(from: Key, n: number, out: Float32Array = new Float32Array(n)): Float32Array {
  const next = stream(from);
  for (let i = 0; i < n; ) {
    const x = (next() + 0.5) / 2 ** 31 - 1;
    const y = (next() + 0.5) / 2 ** 31 - 1;
    const s = x * x + y * y;
    if (s >= 1) continue;
    const scale = Math.sqrt((-2 * ln(s)) / s);
    out[i++] = x * scale;
    if (i < n) out[i++] = y * scale;
  }
  return out;
}

/** 1, 1/3, ..., 1/21 */
const oddReciprocals = Float64Array.from({ length: 11 }, (_, k) => 1 / (2 * k + 1));

/** Natural logarithm of 0 < x < 1 by exact operations only: Math.log may differ between engines. */
function ln(x: number): number {
  let mantissa = x;
  let exponent = 0;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    exponent--;
  }
  // ln m = 2 artanh z; |z| <= 0.172, so z^23 is below a rounding.
  const z = (mantissa - 1) / (mantissa + 1);
  const z2 = z * z;
  let sum = 0;
  for (let k = 10; k >= 0; k--) sum = sum * z2 + oddReciprocals[k];
  return exponent * Math.LN2 + 2 * z * sum;
}

/** n integers in [0, limit), without bias. */
export function randint(from: Key, n: number, limit: number): Int32Array {
  const draw = below(from);
  if (!Number.isInteger(limit) || limit < 1 || limit > 2 ** 31) {
    throw new RangeError(`Limit of random integers is ${limit}. Expected an integer from 1 to 2^31.`);
  }
  return Int32Array.from({ length: n }, () => draw(limit));
}

/** A random order of 0 .. n - 1 (Fisher-Yates). */
export function permutation(from: Key, n: number): Uint32Array {
  const draw = below(from);
  const out = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = draw(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

function below(from: Key): (limit: number) => number {
  const next = stream(from);
  return (limit) => {
    const top = 2 ** 32 - (2 ** 32 % limit);
    for (;;) {
      const word = next();
      if (word < top) return word % limit;
    }
  };
}
