// The identity of files and weights, of any size.

/** SHA-256 in pieces. node:crypto's is one; `sha256Pieces` needs nothing. */
export interface Hasher {
  update(piece: Uint8Array): void;
  /** In hexadecimal; once, at the end. */
  digest(): string;
}

/** WebCrypto takes an array at once and throws at 2 GiB. On pages that came over plain http there is none. */
const AT_ONCE = 2 ** 30;

/** SHA-256 in hexadecimal. */
export const sha256 = (bytes: Uint8Array): Promise<string> => sha256With(sha256Pieces, bytes);

/** The same; `make` gives what hashes that which is too large for WebCrypto. */
export async function sha256With(make: () => Hasher, bytes: Uint8Array, atOnce = AT_ONCE): Promise<string> {
  if (bytes.length > atOnce || !globalThis.crypto?.subtle) {
    const hasher = make();
    for (let at = 0; at < bytes.length; at += atOnce) hasher.update(bytes.subarray(at, at + atOnce));
    return hasher.digest();
  }
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)));
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** FIPS 180-4 in plain JavaScript. */
export function sha256Pieces(): Hasher {
  const state = Uint32Array.from(roots(8, 2));
  const block = new Uint8Array(64);
  let filled = 0;
  let total = 0;
  return {
    update(piece) {
      total += piece.length;
      let at = 0;
      if (filled > 0) {
        at = Math.min(64 - filled, piece.length);
        block.set(piece.subarray(0, at), filled);
        filled += at;
        if (filled < 64) return;
        compress(state, block, 0);
        filled = 0;
      }
      for (; at + 64 <= piece.length; at += 64) compress(state, piece, at);
      block.set(piece.subarray(at));
      filled = piece.length - at;
    },
    digest() {
      const end = new Uint8Array(filled < 56 ? 64 : 128);
      end.set(block.subarray(0, filled));
      end[filled] = 0x80;
      new DataView(end.buffer).setBigUint64(end.length - 8, BigInt(total) * 8n);
      for (let at = 0; at < end.length; at += 64) compress(state, end, at);
      return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
    },
  };
}

let constants: Int32Array | undefined;
const words = new Int32Array(64);

function compress(state: Uint32Array, bytes: Uint8Array, at: number): void {
  constants ??= Int32Array.from(roots(64, 3));
  const k = constants;
  const w = words;
  for (let i = 0, p = at; i < 16; i++, p += 4)
    w[i] = (bytes[p] << 24) | (bytes[p + 1] << 16) | (bytes[p + 2] << 8) | bytes[p + 3];
  for (let i = 16; i < 64; i++) {
    const [x, y] = [w[i - 15], w[i - 2]];
    const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + low + w[i - 7] + high) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}

/** The first 32 bits of the fractions of the roots of the first primes. */
function roots(count: number, degree: 2 | 3): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  return primes.map((p) => {
    const root = degree === 2 ? Math.sqrt(p) : Math.cbrt(p);
    return Math.floor((root - Math.floor(root)) * 2 ** 32);
  });
}
