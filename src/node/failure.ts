// What can go wrong, each in one sentence.
import { sentenceOf } from "../core/show.ts";

/** Characters of a message; those that list all that is wrong with a plan are long. */
const LONGEST = 4000;

/** Something is asked for that cannot be: an option that does not exist, or a value that does not fit. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The signal was aborted (by Ctrl-C, SIGTERM or SIGHUP on the command line). The message names what is kept. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full. Free some space or choose another folder.",
  EDQUOT: "the disk quota is used up. Free some space or choose another folder.",
  EFBIG: "the file would be larger than allowed here.",
  EACCES: "permission is denied.",
  EROFS: "the file system is read-only.",
  EMFILE: "too many files are open. Raise the limit, for example with: ulimit -n 1024.",
  ENFILE: "the system has too many files open. Close other programs.",
  ENOMEM: "there is not enough memory. Close other programs, or raise the limit (ulimit -v).",
};

const lessMemory = "Take a smaller --batch, close other programs, or raise the limit where one is set (ulimit -v).";

/** As Node, V8's arrays, the loader of the native library and ONNX Runtime say it. */
const isOutOfMemory = ({ message }: Error): boolean =>
  /array buffer allocation failed|std::bad_alloc|failed to allocate memory|cannot allocate memory|failed to map segment|out of memory/i.test(
    message,
  );

/** The message of an error; failures of the system become sentences with the path. */
export function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const path = "path" in error && typeof error.path === "string" ? error.path : "A file";
  if (isOutOfMemory(error)) return `There is not enough memory for this. ${lessMemory}`;
  return Object.hasOwn(reasons, code) ? `${path}: ${reasons[code]}` : sentenceOf(error.message, LONGEST);
}

/** Turns what is thrown while reading an option's value into wrong use. */
export function usage<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new UsageError(sentence(cause), { cause });
  }
}
