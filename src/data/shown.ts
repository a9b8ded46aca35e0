// Values and names from files as messages show them: short whatever the file holds, and without control characters.

/** A name or path: at most `most` characters, of which the end is kept, as it says more. */
export function brief(name: string, most = 120): string {
  const clean = name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "?");
  return clean.length <= most ? clean : `…${clean.slice(1 - most)}`;
}

/** A value as JSON would write it: at most `most` characters, lists and objects to two levels. */
export function shown(value: unknown, most = 60): string {
  const text = written(value, 2, most);
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function written(value: unknown, depth: number, most: number): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.slice(0, most));
  if (typeof value !== "object" || value === null) return String(value);
  const list = Array.isArray(value);
  const [open, close] = list ? "[]" : "{}";
  if (depth === 0) return `${open}…${close}`;
  const parts: string[] = [];
  for (const key in value) {
    const inner = written((value as Record<string, unknown>)[key], depth - 1, most);
    parts.push(list ? inner : `${JSON.stringify(key.slice(0, most))}:${inner}`);
    if (parts.join().length > most) break;
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
