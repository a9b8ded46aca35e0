// A turn of the event loop: what has come in meanwhile, a message to a worker say, is handled before the promise is settled.

let channel: MessageChannel | undefined;
const waiting: (() => void)[] = [];

/**
 * By a message to oneself, which costs microseconds; a timer would wait 4 ms. Where there is `unref` (Node) the channel
 * keeps a process alive only while somebody waits.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    channel ??= open();
    waiting.push(resolve);
    (channel.port1 as Unrefable).ref?.();
    channel.port2.postMessage(null);
  });
}

type Unrefable = MessagePort & { ref?(): void; unref?(): void };

function open(): MessageChannel {
  const made = new MessageChannel();
  const port: Unrefable = made.port1;
  port.onmessage = () => {
    if (waiting.length === 1) port.unref?.();
    waiting.shift()?.();
  };
  return made;
}
