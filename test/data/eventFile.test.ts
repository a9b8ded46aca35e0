// TensorBoard's event files: the bytes that its own Python writer gives for the same events, and an independent reading.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../src/data/crc.ts";
import { fileVersion, restartedAt, summary } from "../../src/data/eventFile.ts";
import { encodePng } from "../../src/data/png.ts";
import { readRecords } from "../support/eventFiles.ts";

const ascii = (text: string) => new TextEncoder().encode(text);

test("Castagnoli's sum of what RFC 3720 and its check word name", () => {
  expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});

const png = new Uint8Array(readFileSync(join(import.meta.dirname, "../fixtures/eventFile.png")));
const picture = { png, width: 3, height: 2, channels: 3 };

/** scripts of test/fixtures/eventFile.py make the same with tensorboard's EventFileWriter and its messages. */
const events = [
  fileVersion(1.7e9),
  summary([{ tag: "loss", scalar: 0.1 }], 64, 1.7e9 + 0.25),
  summary(
    [
      { tag: "loss", scalar: 0 },
      { tag: "critic/norm", scalar: 1e-30 },
    ],
    5_000_000_000,
    1.7e9 + 1,
  ),
  summary([{ tag: "samples", picture }], 0, 1.7e9 + 2),
  restartedAt(65, 1.7e9 + 3),
];

test("the bytes are those of tensorboard's own writer", () => {
  const theirs = readFileSync(join(import.meta.dirname, "../fixtures/eventFile.tfevents"));
  expect(Buffer.concat(events).equals(theirs)).toBe(true);
});

describe("an independent reading", () => {
  test("gives times, steps, tags and values back", () => {
    const [version, one, two, three, restart] = readRecords(Buffer.concat(events));
    expect(version).toMatchObject({ time: 1.7e9, step: 0, version: "brain.Event:2" });
    expect(one).toMatchObject({ time: 1.7e9 + 0.25, step: 64, values: [{ tag: "loss", scalar: Math.fround(0.1) }] });
    expect(two.step).toBe(5_000_000_000);
    expect(two.values).toEqual([
      { tag: "loss", scalar: 0 },
      { tag: "critic/norm", scalar: Math.fround(1e-30) },
    ]);
    expect(three.values).toEqual([{ tag: "samples", picture: { width: 3, height: 2, channels: 3, png } }]);
    expect(restart).toMatchObject({ step: 65, restart: true });
  });

  test("notices a flipped bit anywhere", () => {
    const whole = Buffer.concat(events.slice(0, 2));
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const broken = Buffer.from(whole);
      broken[bit >> 3] ^= 1 << (bit & 7);
      expect(() => readRecords(broken), `bit ${bit}`).toThrow();
    }
  });

  test("of a picture of one's own", () => {
    const grey = encodePng({ width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 200) });
    const [read] = readRecords(
      summary([{ tag: "samples", picture: { png: grey, width: 2, height: 1, channels: 1 } }], 1, 2),
    );
    expect(read.values).toEqual([{ tag: "samples", picture: { width: 2, height: 1, channels: 1, png: grey } }]);
  });
});
