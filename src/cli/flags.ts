// Flags of the command line, from the schema of a command's options.
import { Option } from "commander";
import type * as z from "zod";
import { type Described, describe, flagName } from "../node/options.ts";

/** Text from the command line as the value that a config file would hold. What does not fit is left for the schema. */
function fromText(text: string, { kind, element }: Described): unknown {
  if (kind === "array" && element) return text.split(",").map((part) => fromText(part.trim(), element));
  if (kind !== "number") return text;
  const number = text.trim() === "" ? Number.NaN : Number(text.replaceAll("_", ""));
  return Number.isNaN(number) ? text : number;
}

/** The flags of a schema, for commander. */
export function flagsOf(schema: z.ZodObject, positional: readonly string[] = []): Option[] {
  return Object.entries(schema.shape)
    .filter(([key]) => !positional.includes(key))
    .flatMap(([key, value]) => {
      const type = value as z.ZodType;
      const described = describe(type);
      const meta = type.meta() ?? {};
      const valueName =
        typeof meta.value === "string" ? meta.value : { array: "list", number: "n" }[String(described.kind)];
      const choices = described.choices?.join("|");
      const takes =
        described.kind === "boolean" ? "" : ` <${choices && choices.length < 40 ? choices : (valueName ?? "name")}>`;
      const fallback =
        described.fallback === undefined || described.fallback === false ? "" : ` (default ${described.fallback})`;
      const option = new Option(`--${flagName(key)}${takes}`, `${meta.description ?? ""}${fallback}`);
      // A switch that a run or a config file has on can be turned off.
      if (described.kind === "boolean") return [option, new Option(`--no-${flagName(key)}`).hideHelp()];
      // A list may be given in several flags, too.
      return option.argParser((text, before: unknown) => {
        const value = fromText(text, described);
        return Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value;
      });
    });
}
