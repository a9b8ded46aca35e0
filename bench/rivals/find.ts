// The rivals are heavy and no dependencies of this project: they are used where they are installed.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

export const rivalNames = ["jax-js", "tfjs"] as const;
export type RivalName = (typeof rivalNames)[number];

const packages: Record<RivalName, readonly string[]> = {
  "jax-js": ["@jax-js/jax"],
  tfjs: ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
};

/** What imports a rival's packages: from `folder`/node_modules where it is given, else from here. Null: not installed. */
export function findRival(name: RivalName, folder: string | undefined): NodeJS.Require | null {
  const from = [...(folder ? [join(resolve(folder), "none.js")] : []), import.meta.url];
  for (const place of from) {
    const require = createRequire(place);
    try {
      for (const name_ of packages[name]) require.resolve(name_);
      return require;
    } catch {}
  }
  return null;
}

/** How to get the rivals that were not found. */
export const missingRivals = (names: readonly RivalName[]): string =>
  `${names.join(" and ")} not found: npm install --no-save --prefix <folder> ${names.flatMap((n) => packages[n]).join(" ")}, then --rivals <folder>.`;

/** The version in the package.json of the package that `require` finds. */
export function versionOf(require: NodeJS.Require, name: string): string {
  const file = require.resolve(name).replaceAll("\\", "/");
  const root = file.slice(0, file.lastIndexOf(`/${name}/`) + name.length + 2);
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
}
