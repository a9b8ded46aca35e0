// A turn of the event loop: what has come in meanwhile, a message to a worker say, is handled before the promise is settled.

let channel: MessageChannel | undefined;
const waiting: (() => void)[] = [];

/**
 * In browsers by a message to oneself, which costs microseconds; a timer would wait 4 ms. Node handles a thousand messages of
 * a port before it looks at anything else, and has `setImmediate`.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    channel ??= open();
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}

function open(): MessageChannel {
  const made = new MessageChannel();
  made.port1.onmessage = () => waiting.shift()?.();
  return made;
}
