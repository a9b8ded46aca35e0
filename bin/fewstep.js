#!/usr/bin/env node
import { existsSync, readFileSync } from "node:fs";

const main = new URL("../dist/cli/main.js", import.meta.url);

/** What the system refuses while hundreds of files are loaded, in a sentence; undefined for anything else. */
function refused(error) {
  const text = String(error?.message ?? error);
  if (/\bE[MN]FILE\b|too many open files/i.test(text))
    return "Too many files are open: the limit is too low to load fewstep. Raise it, for example with: ulimit -n 1024.";
  if (/\bENOMEM\b|out of memory|cannot allocate|allocation failed|failed to map/i.test(text))
    return "There is not enough memory to load fewstep. Close other programs, or raise the limit (ulimit -v).";
  return undefined;
}

/** Node and ONNX Runtime reserve more than they use, and abort without a word where they may not (measured: 1.2 GiB). */
const addressSpace = 1.5 * 2 ** 30;

function limitOfAddressSpace() {
  try {
    return Number(/^Max address space +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

if (limitOfAddressSpace() < addressSpace) {
  const limit = (limitOfAddressSpace() / 2 ** 30).toFixed(1);
  console.error(
    `Error: The address space is limited to ${limit} GiB, and fewstep needs at least 1.5. Raise it, for example with: ulimit -v unlimited.`,
  );
  process.exitCode = 1;
} else if (existsSync(main)) {
  // Some failures of loading are thrown where nobody waits for them.
  const fail = (error) => {
    const why = refused(error);
    if (why === undefined) console.error(error);
    else console.error(`Error: ${why}`);
    process.exit(1);
  };
  process.on("uncaughtException", fail);
  await import(main.href).catch(fail);
} else {
  console.error("fewstep is not built yet. Run: npm run build");
  process.exitCode = 1;
}
