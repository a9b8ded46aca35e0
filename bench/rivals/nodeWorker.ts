// Web workers for libraries that start them from a blob: Node's worker threads behind the browser's interface.

import { resolveObjectURL } from "node:buffer";
import { Worker } from "node:worker_threads";

const prelude = `const { parentPort } = require("node:worker_threads");
globalThis.self = globalThis;
globalThis.postMessage = (data) => parentPort.postMessage(data);
parentPort.on("message", (data) => self.onmessage({ data }));
`;

class BlobWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((error: Error) => void) | null = null;
  private worker: Worker | null = null;
  private readonly waiting: unknown[] = [];

  constructor(url: string) {
    void this.start(url);
  }

  postMessage(data: unknown): void {
    if (this.worker) this.worker.postMessage(data);
    else this.waiting.push(data);
  }

  private async start(url: string): Promise<void> {
    const source = await resolveObjectURL(url)?.text();
    if (source === undefined) throw new Error(`A worker's source must be a blob, got ${url}.`);
    this.worker = new Worker(prelude + source, { eval: true });
    this.worker.on("message", (data) => this.onmessage?.({ data }));
    this.worker.on("error", (error) => this.onerror?.(error));
    for (const data of this.waiting) this.worker.postMessage(data);
  }
}

/** Declares `Worker` and the number of processors where the runtime has none (Node 20). */
export function provideWorkers(processors: number): void {
  const missing = { Worker: BlobWorker, navigator: { hardwareConcurrency: processors } };
  for (const [name, value] of Object.entries(missing))
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true });
}
