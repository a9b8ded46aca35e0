// JSON as other programs write it: Python's `json` writes Infinity, -Infinity and NaN, which the standard does not have.
import { brief } from "../core/show.ts";

/** Lists and objects inside each other; no configuration needs more, and what walks them must not run out of stack. */
const deepest = 100;
// A string without an end is taken to the end of the text: looking for one at each of its quotes would take forever.
const token = /"[^"\\]*(?:\\.[^"\\]*)*"?|-?\bInfinity\b|\bNaN\b|[[\]{}]/gs;

/** Parses UTF-8 text; `name` is the file's. Throws an Error, one sentence, for what is not JSON or is nested too deeply. */
export function parseJson(bytes: Uint8Array | string, name: string): unknown {
  const file = brief(name);
  const text = typeof bytes === "string" ? bytes.replace(/^\ufeff/, "") : new TextDecoder().decode(bytes);
  let depth = 0;
  let nan: string | undefined;
  const plain = text.replace(token, (found) => {
    if (found === "[" || found === "{") {
      depth++;
      if (depth > deepest) throw new Error(`${file} has more than ${deepest} lists or objects inside each other.`);
    } else if (found === "]" || found === "}") depth--;
    else if (found === "Infinity") return "1e999";
    else if (found === "-Infinity") return "-1e999";
    else if (found === "NaN") {
      nan ??= unusedText(text);
      return JSON.stringify(nan);
    }
    return found;
  });
  try {
    return nan === undefined
      ? JSON.parse(plain)
      : JSON.parse(plain, (_, value: unknown) => (value === nan ? Number.NaN : value));
  } catch (cause) {
    throw new Error(`${file} is not JSON: ${reason(text, cause)}.`, { cause });
  }
}

/** A string that the text does not hold. */
function unusedText(text: string): string {
  let word = "not a number";
  while (text.includes(word)) word += "!";
  return word;
}

/** What the parser says, on one line and short: newer ones quote the text. */
function reason(text: string, cause: unknown): string {
  if (text.trim() === "") return "it is empty";
  const message = cause instanceof Error ? cause.message : String(cause);
  return brief(message.replace(/\s+/g, " ").slice(0, 160), 160).replace(/\.$/, "");
}
