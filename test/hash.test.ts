// SHA-256 against node:crypto: at once, in pieces of every awkward length, and beyond what WebCrypto takes.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type Hasher, sha256, sha256Pieces, sha256With } from "../src/hash.ts";
import { nodeHasher } from "../src/runtime/node.ts";

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) >> 3);
const truth = (b: Uint8Array) => createHash("sha256").update(b).digest("hex");

for (const [name, make] of [
  ["plain", sha256Pieces],
  ["node", nodeHasher],
] as const satisfies readonly (readonly [string, () => Hasher])[])
  test(`${name}: every length around a block, in pieces of every size`, () => {
    for (const length of [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000])
      for (const size of [1, 7, 63, 64, 65, 1000]) {
        const hasher = make();
        for (let at = 0; at < length; at += size) hasher.update(bytes.subarray(at, Math.min(length, at + size)));
        expect(hasher.digest(), `${length} bytes by ${size}`).toBe(truth(bytes.subarray(0, length)));
      }
  });

test("what is too large for one call goes in pieces", async () => {
  expect(await sha256(bytes)).toBe(truth(bytes));
  expect(await sha256With(sha256Pieces, bytes, 100)).toBe(truth(bytes));
  expect(await sha256With(nodeHasher, bytes, 100)).toBe(truth(bytes));
});
