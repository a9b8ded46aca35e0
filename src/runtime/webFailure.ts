// What goes wrong in a page, in sentences.

/** What ONNX Runtime throws in a page, as an Error with a sentence; an Error that says enough already is returned as it is. */
export function webFailure(error: unknown): Error {
  const text = textOf(error);
  const said = sentence(text);
  if (said) return new Error(said, { cause: error });
  return error instanceof Error ? error : new Error(text, { cause: error });
}

/** The same of a program that the graphics device does not take. */
export function graphicsFailure(error: unknown): Error {
  const said = webFailure(error);
  if (said !== error) return said;
  return new Error(`The graphics device cannot run this program (${brief(said.message)}). Use the device wasm.`, {
    cause: error,
  });
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function sentence(text: string): string | undefined {
  // Wasm's C++ throws the address of its exception where it has no memory for more.
  if (
    /out of memory|bad_alloc|\bOOM\b|enlarge memory|allocation failed|failed to allocate|could not allocate/i.test(
      text,
    ) ||
    /^\d+$/.test(text)
  )
    return `The memory of this page's ONNX Runtime is used up (${brief(text)}): Wasm has at most 4 GiB, a tab often less. Take a smaller batch or network, or gradient checkpointing, and start again in a new worker: memory that Wasm has taken does not come back.`;
  if (/memory access out of bounds|unreachable|Aborted\(|table index is out of bounds/.test(text))
    return `ONNX Runtime ended in this page (${brief(text)}), mostly for want of memory. Start again in a new worker, with a smaller batch or network.`;
  if (
    /no available backend found|previous call to 'initializeWebAssembly|failed to asynchronously prepare wasm|Failed to fetch dynamically imported module/i.test(
      text,
    )
  )
    return `ONNX Runtime's Wasm could not be started (${brief(text)}). Its .wasm and .mjs files have to be served beside the page; env.wasm.wasmPaths of onnxruntime-web says where.`;
  return undefined;
}

const brief = (text: string): string => {
  const [line] = text.split("\n");
  return line.length > 200 ? `${line.slice(0, 200)}…` : line.replace(/[.\s]+$/, "");
};

/** Why a page has no WebGPU. */
export function noWebGpu(reason: string): string {
  return `WebGPU cannot be used here: ${reason.replace(/[.\s]+$/, "")}. What was asked of it is computed with Wasm.`;
}

export const lostDevice = (reason: string): string =>
  `The graphics device was lost (${reason.replace(/[.\s]+$/, "") || "no reason was given"}). What was saved is unharmed: go on from there in a new worker, or with the device wasm.`;
