// Options as they are written down: under the names that they have on the command line.

/** "teacherSteps" -> "teacher-steps": the name on the command line, in config files and in options.json. */
export const flagName = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Options under their names on the command line, in order of these, without those that are not set: for options.json. */
export const toConfig = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [flagName(key), value] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
