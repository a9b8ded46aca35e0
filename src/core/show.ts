// Values in messages: short, whatever a file holds. JSON.stringify and String go as deep as the value is nested.

/** At most about 120 characters, two levels deep. */
export function show(value: unknown, depth = 2): string {
  const text = shallow(value, depth);
  return text.length <= 120 ? text : `${text.slice(0, 100)}… (${text.length} characters)`;
}

function shallow(value: unknown, depth: number): string {
  if (value === undefined) return "(nothing)";
  if (typeof value === "string")
    return value.length <= 100
      ? JSON.stringify(value)
      : `${JSON.stringify(value.slice(0, 80))}… (${value.length} characters)`;
  if (typeof value !== "object" || value === null) return String(value);
  const open = Array.isArray(value) ? "[" : "{";
  const close = Array.isArray(value) ? "]" : "}";
  const entries = Object.entries(value);
  if (entries.length === 0) return open + close;
  if (depth === 0) return `${open}…${close}`;
  const parts = entries
    .slice(0, 8)
    .map(([key, v]) =>
      Array.isArray(value) ? shallow(v, depth - 1) : `${JSON.stringify(key.slice(0, 40))}:${shallow(v, depth - 1)}`,
    );
  return open + parts.join(",") + (entries.length > 8 ? `,… ${entries.length - 8} more` : "") + close;
}
