// The examples do what they say: each runs as it stands, but for the number of images that it trains on.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { decode } from "fast-png";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"));

/** Images that are trained on here, by what they are. */
const FEW = { points: 2560, pictures: 64 };

/** The code with fewer images, and the pictures that it saves. */
function shortened(code: string): { readonly code: string; readonly pictures: readonly string[] } {
  const few = code.includes('"toy:') ? FEW.points : FEW.pictures;
  const shorter = code.replace(/\bimages: [\d_]+/g, `images: ${few}`);
  expect(shorter).not.toBe(code);
  return { code: shorter, pictures: [...code.matchAll(/\.save\("([^"]+\.png)"\)/g)].map(([, name]) => name) };
}

test("there are examples", () => expect(names).toEqual(expect.arrayContaining(["threeLines.ts", "ownRecipe.ts"])));

test.each(names)("%s", (name) => {
  const { code, pictures } = shortened(readFileSync(join(root, "examples", name), "utf8"));
  const folder = mkdtempSync(join(root, "test/.example-"));
  try {
    symlinkSync(join(root, "assets"), join(folder, "assets"));
    const file = join(folder, name.replace(/\.ts$/, ".mts"));
    writeFileSync(file, code);
    const env = { ...process.env, TSX_TSCONFIG_PATH: join(root, "tsconfig.json") };
    execFileSync(process.execPath, ["--import", "tsx", file], { cwd: folder, stdio: "pipe", env });
    expect(pictures.length).toBeGreaterThan(0);
    for (const picture of pictures) {
      const { data } = decode(readFileSync(join(folder, picture)));
      expect(new Set(data).size, `shades in ${picture}`).toBeGreaterThan(2);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 180_000);
