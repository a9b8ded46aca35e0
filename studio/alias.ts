// The package under its own name, from its sources: as `paths` in tsconfig.json, for what Vite builds and tests.
import { resolve } from "node:path";

const source = (path: string) => resolve(import.meta.dirname, "../src", path);

export const alias = [
  { find: /^fewstep\/browser$/, replacement: source("browser.ts") },
  { find: /^fewstep\/recipes$/, replacement: source("authors.ts") },
  { find: /^fewstep\/(core|graph|metrics|solvers|diffusers)$/, replacement: source("$1/index.ts") },
];
