// Someone else's .onnx file as a function of one float array: a feature network, say. It is run as it is, without gradients.

import { sha256 } from "../hash.ts";
import type { OrtModule, OrtSession, OrtSessionOptions } from "./runtime.ts";

/** What a session says of an input or output; a size that may vary is a name. */
interface Described {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}
interface DescribedSession extends OrtSession {
  readonly inputMetadata: readonly Described[];
  readonly outputMetadata: readonly Described[];
}

export interface ForeignOptions {
  /** The input to feed; needed only where the model has several (the others must have defaults). */
  readonly input?: string;
  /** The output to fetch; needed only where the model has several. */
  readonly output?: string;
  readonly session?: OrtSessionOptions;
}

export interface Foreign {
  /** Of the file, in hexadecimal. */
  readonly sha256: string;
  readonly input: string;
  readonly output: string;
  /** Sizes of the input; a name or -1 stands for one that may vary. */
  readonly inputShape: readonly (number | string)[];
  /** Throws an Error where the model refuses the shape or returns something other than float32. */
  run(x: Float32Array, shape: readonly number[]): Promise<{ data: Float32Array; shape: readonly number[] }>;
  dispose(): Promise<void>;
}

/** `ort` is onnxruntime-node or onnxruntime-web. Throws an Error that names what the model has and what was expected. */
export async function openForeign(
  ort: OrtModule,
  bytes: Uint8Array,
  { input, output, session: sessionOptions }: ForeignOptions = {},
): Promise<Foreign> {
  const session = (await ort.InferenceSession.create(bytes, sessionOptions)) as DescribedSession;
  try {
    const from = choose(session.inputMetadata, input, "input");
    const to = choose(session.outputMetadata, output, "output");
    return {
      sha256: await sha256(bytes),
      input: from.name,
      output: to.name,
      inputShape: from.shape ?? [],
      async run(x, shape) {
        const results = await session.run({ [from.name]: new ort.Tensor("float32", x, shape) });
        const { data, dims } = results[to.name];
        if (!(data instanceof Float32Array))
          throw new Error(`The output "${to.name}" of the model is not float32; expected a model in float32.`);
        return { data, shape: dims };
      },
      dispose: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

function choose(candidates: readonly Described[], name: string | undefined, what: "input" | "output"): Described {
  const names = candidates.map((c) => c.name).join(", ");
  if (name === undefined && candidates.length !== 1)
    throw new Error(`The model has the ${what}s ${names}; say which one to use.`);
  const found = name === undefined ? candidates[0] : candidates.find((c) => c.name === name);
  if (!found) throw new Error(`The model has no ${what} "${name}"; it has ${names}.`);
  if (!found.isTensor || found.type !== "float32")
    throw new Error(`The ${what} "${found.name}" of the model is ${found.type ?? "no tensor"}, expected float32.`);
  return found;
}
