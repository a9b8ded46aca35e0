// Zip archives whose files are stored without compression, as torch.save writes them.

import { brief } from "../core/show.ts";
import { crc32 } from "./crc.ts";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

/** The files by name, as views of `bytes`. Throws an Error, one sentence, for what is no zip, compressed or damaged. */
export function storedFiles(bytes: Uint8Array, name: string): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bad = (why: string) => new Error(`${name} is no zip archive of torch.save: ${why}.`);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  if (bytes.length < 22 || u32(0) !== LOCAL)
    throw bad("it does not start like one; files from before PyTorch 1.6 must be loaded and saved again");
  let end = bytes.length - 22;
  const first = Math.max(0, end - 65535); // a comment may follow
  while (end >= first && u32(end) !== END) end--;
  if (end < first) throw bad("it is cut off");
  const count = u16(end + 10);
  let at = u32(end + 16);
  const files = new Map<string, Uint8Array>();
  for (let k = 0; k < count; k++) {
    if (at + 46 > end || u32(at) !== ENTRY) throw bad("its directory is damaged");
    const [method, sum, size, packed] = [u16(at + 10), u32(at + 16), u32(at + 20), u32(at + 24)];
    const [nameLength, extra, comment, local] = [u16(at + 28), u16(at + 30), u16(at + 32), u32(at + 42)];
    const path = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const shown = brief(path, 80);
    if (method !== 0 || size !== packed) throw bad(`"${shown}" is compressed`);
    if (local + 30 > bytes.length || u32(local) !== LOCAL) throw bad(`"${shown}" is damaged`);
    const start = local + 30 + u16(local + 26) + u16(local + 28);
    if (start + size > bytes.length) throw bad(`"${shown}" is cut off`);
    const body = bytes.subarray(start, start + size);
    // PyTorch can be told to leave sums out.
    if (sum !== 0 && crc32(body) !== sum) throw bad(`"${shown}" is damaged: its sum is another`);
    if (files.has(path)) throw bad(`it holds "${shown}" twice`);
    files.set(path, body);
    at += 46 + nameLength + extra + comment;
  }
  return files;
}
