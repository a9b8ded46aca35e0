/** What went wrong as a sentence for the page. */
export function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (/out of memory|memory access out of bounds|Array buffer allocation failed/i.test(text))
    return "This tab has no memory left for that: close others, or take fewer particles.";
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** A turn of the event loop, so that a worker hears what it is told: cheaper than a timer, which browsers slow down. */
export function turn(): Promise<void> {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(undefined);
  });
}
