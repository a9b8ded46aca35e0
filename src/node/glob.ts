// Patterns for file names: * ? {a,b} {00000..00041}, in the last part of a path.

export const isGlob = (path: string): boolean => /[*?{]/.test(path);

/** Tells whether a file name fits; "{00..03}" keeps the zeros. */
export function globMatcher(pattern: string): (name: string) => boolean {
  const expressions = expandBraces(pattern).map((plain) => {
    const source = plain
      .replace(/[.+^$()|[\]\\{}]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".");
    return new RegExp(`^${source}$`, "s");
  });
  return (name) => expressions.some((expression) => expression.test(name));
}

function expandBraces(pattern: string): string[] {
  const found = pattern.match(/^(.*?)\{([^{}]*)\}(.*)$/s);
  if (!found) return [pattern];
  const [, before, inside, after] = found;
  const range = inside.match(/^(\d+)\.\.(\d+)$/);
  const choices = range ? numbers(range[1], range[2]) : inside.split(",");
  return choices.flatMap((choice) => expandBraces(`${before}${choice}${after}`));
}

function numbers(from: string, to: string): string[] {
  const count = Number(to) - Number(from) + 1;
  if (count < 1 || count > 1e6) {
    throw new RangeError(`The range {${from}..${to}} has ${count} numbers, expected 1 to 1000000.`);
  }
  return Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, "0"));
}
