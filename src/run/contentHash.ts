// What a dataset is, whatever it is called and wherever it lies: a hash of its samples and labels, in order.

import type { Dataset } from "../data/dataset.ts";
import { sha256 } from "../hash.ts";

const AT_ONCE = 256;

/** SHA-256, in hexadecimal. Pictures count by their 8-bit values, points of the plane by all their bits. */
export async function contentHash(data: Dataset): Promise<string> {
  const { size, shape, classes } = data;
  if (data.identity !== undefined) return data.identity;
  const picture = shape[1] * shape[2] > 1;
  const sums: string[] = [`${size} ${shape.join("x")} ${classes}`];
  for (let from = 0; from < size; from += AT_ONCE) {
    const count = Math.min(AT_ONCE, size - from);
    const { x, labels } = data.batch(Uint32Array.from({ length: count }, (_, i) => from + i));
    const values = picture ? bytesOfPictures(x) : x;
    sums.push(await sha256(bytesOf(values)), await sha256(bytesOf(labels)));
  }
  return sha256(new TextEncoder().encode(sums.join("\n")));
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** [-1, 1] to 0 … 255, rounded. */
function bytesOfPictures(x: Float32Array): Uint8Array {
  const out = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = (x[i] + 1) * 127.5 + 0.5;
  return out;
}
