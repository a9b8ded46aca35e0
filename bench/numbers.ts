// Numbers that come from the command line.

/** The whole number that an option says. Throws an Error for anything else. */
export function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is "${text}": expected a whole number from 1.`);
  return value;
}
