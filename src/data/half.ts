// 16-bit floats as bits: IEEE half (F16) and bfloat (BF16). Widening is exact, narrowing rounds to nearest, ties to even.
// Bits go through integer views, so that a NaN keeps its payload and a round trip is byte-exact.

let widened: Uint32Array | undefined;

/** F16 bits -> float32. */
export function fromHalf(bits: Uint16Array, out = new Float32Array(bits.length)): Float32Array {
  widened ??= Uint32Array.from({ length: 65536 }, (_, h) => halfToFloatBits(h));
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = widened[bits[i]];
  return out;
}

/** float32 -> F16 bits; beyond 65504 (rounded) becomes infinity. */
export function toHalf(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(words.length);
  for (let i = 0; i < bits.length; i++) bits[i] = floatBitsToHalf(words[i]);
  return bits;
}

/** BF16 bits -> float32. */
export function fromBfloat(bits: Uint16Array, out = new Float32Array(bits.length)): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return out;
}

/** float32 -> BF16 bits. */
export function toBfloat(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(words.length);
  for (let i = 0; i < bits.length; i++) bits[i] = floatBitsToBfloat(words[i]);
  return bits;
}

function floatBitsToBfloat(x: number): number {
  if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | (x & 0x7f0000 ? 0 : 1); // NaN stays NaN
  return (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
}

function halfToFloatBits(h: number): number {
  const sign = (h & 0x8000) << 16;
  const exponent = (h >>> 10) & 31;
  const mantissa = h & 1023;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21; // subnormal: move the leading bit to the implicit place
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 1023) << 13);
}

function floatBitsToHalf(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffff;
  const exponent = ((x >>> 23) & 255) - 112;
  if (exponent === 143) return sign | 0x7c00 | (magnitude && (magnitude >>> 13 || 1));
  if (exponent >= 31) return sign | 0x7c00;
  if (exponent < -10) return sign;
  if (exponent <= 0) return sign | roundShift(magnitude | 0x800000, 14 - exponent);
  return sign | roundShift((exponent << 23) | magnitude, 13);
}

/** x / 2^shift, to nearest, ties to even. A carry runs into the exponent, which is the right result. */
function roundShift(x: number, shift: number): number {
  const floor = x >>> shift;
  const rest = x & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return rest > middle || (rest === middle && floor & 1) ? floor + 1 : floor;
}
