// Inputs as files: a single one as it is, several as JSON with their bytes in base64.
import type { Input } from "./target.ts";

export function formatInputs(input: Input): { readonly name: string; readonly bytes: Uint8Array | string } {
  const names = Object.keys(input);
  if (names.length === 1 && names[0] === "file") return { name: ".bin", bytes: input.file };
  const files = Object.fromEntries(names.map((name) => [name, Buffer.from(input[name]).toString("base64")]));
  return { name: ".files.json", bytes: `${JSON.stringify(files, null, 1)}\n` };
}

export function readInputs(name: string, bytes: Uint8Array): Input {
  if (!name.endsWith(".files.json")) return { file: bytes };
  const files = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>;
  return Object.fromEntries(
    Object.entries(files).map(([key, text]) => [key, new Uint8Array(Buffer.from(text, "base64"))]),
  );
}
