// Values and names from files as messages show them: short whatever the file holds, and without control characters.

/** A name or path: at most `most` characters, of which the end is kept, as it says more. */
export function brief(name: string, most = 120): string {
  const clean = plain(name);
  return clean.length <= most ? clean : `…${clean.slice(1 - most)}`;
}

/** A value as JSON would write it: at most about `most` characters, lists and objects to two levels; how long it is, if cut. */
export function show(value: unknown, most = 100): string {
  const text = plain(written(value, 2, most));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…${lengthOf(value)}`;
}

function lengthOf(value: unknown): string {
  if (typeof value === "string") return ` (${value.length} characters)`;
  return Array.isArray(value) ? ` (${value.length} values)` : "";
}

/** A whole message: where it is longer than `most` characters, its end is cut off and its length is said. */
export const sentenceOf = (message: string, most = 500): string =>
  message.length <= most ? message : `${message.slice(0, most - 40)}… (cut off; ${message.length} characters)`;

/** Without control characters, so on one line. */
export const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, "?");

// JSON.stringify and String go as deep as a value is nested.
function written(value: unknown, depth: number, most: number): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.slice(0, most));
  if (typeof value === "bigint") return String(value).slice(0, most);
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value !== "object" || value === null) return String(value);
  const list = Array.isArray(value) || ArrayBuffer.isView(value);
  const [open, close] = list ? "[]" : "{}";
  const parts: string[] = [];
  let length = 0;
  for (const key in value) {
    if (depth === 0) return `${open}…${close}`;
    const inner = written((value as unknown as Record<string, unknown>)[key], depth - 1, most);
    const part = list ? inner : `${JSON.stringify(key.slice(0, most))}:${inner}`;
    parts.push(part);
    length += part.length + 1;
    if (length > most) break;
  }
  return `${open}${parts.join(",")}${close}`;
}

/** "a, b, c and 7 more" */
export function listed(names: readonly string[], most = 5): string {
  const first = names.slice(0, names.length > most ? most : undefined).map((name) => brief(name, 40));
  return names.length > most ? `${first.join(", ")} and ${names.length - most} more` : first.join(", ");
}

/** "1 file", "3 files" */
export const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
