// Python pickles, protocols 0 to 5 as far as plain data needs them (https://docs.python.org/3/library/pickletools.html).
// Nothing is imported: a name that the pickle asks for is handed to the caller, who knows or refuses it.

import { brief } from "../core/show.ts";

/** Any value on the stack; what the caller makes of names is opaque here. */
export type Pickled = unknown;

/** A name that the pickle asks for and has not called yet. */
export class PickledGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}

export interface UnpickleOptions {
  /** For messages. */
  readonly name: string;
  /** Makes what a call of that name stands for, or throws. */
  global(called: PickledGlobal, args: readonly Pickled[]): Pickled;
  /** Makes what a persistent id stands for, or throws. */
  persistent(id: Pickled): Pickled;
}

const MARK = Symbol("mark");

/** Throws an Error, one sentence, for an operation that plain data does not need and for damage. */
export function unpickle(bytes: Uint8Array, { name, global, persistent }: UnpickleOptions): Pickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: Pickled[] = [];
  const memo = new Map<number, Pickled>();
  let at = 0;
  const bad = (why: string) => new Error(`${brief(name)} is damaged or holds more than plain data: ${why}.`);
  const take = (n: number): Uint8Array => {
    if (n < 0 || at + n > bytes.length) throw bad("it is cut off");
    at += n;
    return bytes.subarray(at - n, at);
  };
  const u8 = () => take(1)[0];
  const u32 = () => {
    take(4);
    return view.getUint32(at - 4, true);
  };
  const text = (n: number) => new TextDecoder().decode(take(n));
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) throw bad("it is cut off");
    const found = text(end - at);
    at = end + 1;
    return found;
  };
  const pop = (): Pickled => {
    if (stack.length === 0) throw bad("its stack is empty");
    return stack.pop();
  };
  const popList = (): Pickled[] => {
    const start = stack.lastIndexOf(MARK);
    if (start < 0) throw bad("a mark is missing");
    const items = stack.splice(start);
    return items.slice(1);
  };
  const top = (): Pickled => stack[stack.length - 1];
  const recall = (k: number): Pickled => {
    if (!memo.has(k)) throw bad(`it remembers nothing under ${k}`);
    return memo.get(k);
  };
  const setItems = (items: readonly Pickled[]) => {
    const map = top();
    if (!(map instanceof Map) || items.length % 2 !== 0) throw bad("it sets items of something that is no dictionary");
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  };
  const append = (items: readonly Pickled[]) => {
    const list = top();
    if (!Array.isArray(list)) throw bad("it appends to something that is no list");
    for (const item of items) list.push(item);
  };
  const integer = (n: number) => {
    if (n > 8) throw bad("it holds a number of more than 64 bits");
    let value = 0n;
    const raw = take(n);
    for (let i = n - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i]);
    value = BigInt.asIntN(8 * n, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  };
  const call = () => {
    const args = pop();
    const called = pop();
    if (!(called instanceof PickledGlobal) || !Array.isArray(args)) throw bad("it calls something that is no name");
    stack.push(global(called, args));
  };

  for (;;) {
    const op = String.fromCharCode(u8());
    switch (op) {
      case "\x80": // PROTO
        if (u8() > 5) throw bad("its protocol is newer than 5");
        break;
      case "\x95": // FRAME
        take(8);
        break;
      case ".":
        return pop();
      case "(":
        stack.push(MARK);
        break;
      case "}":
        stack.push(new Map());
        break;
      case "]":
        stack.push([]);
        break;
      case ")":
        stack.push([]);
        break;
      case "t":
      case "l":
        stack.push(popList());
        break;
      case "d": {
        const items = popList();
        stack.push(new Map());
        setItems(items);
        break;
      }
      case "\x85":
        stack.push([pop()]);
        break;
      case "\x86": {
        const [b, a] = [pop(), pop()];
        stack.push([a, b]);
        break;
      }
      case "\x87": {
        const [c, b, a] = [pop(), pop(), pop()];
        stack.push([a, b, c]);
        break;
      }
      case "s": {
        const [value, key] = [pop(), pop()];
        setItems([key, value]);
        break;
      }
      case "u":
        setItems(popList());
        break;
      case "a":
        append([pop()]);
        break;
      case "e":
        append(popList());
        break;
      case "X":
        stack.push(text(u32()));
        break;
      case "\x8c":
        stack.push(text(u8()));
        break;
      case "U":
        stack.push(text(u8()));
        break;
      case "T":
        stack.push(text(u32()));
        break;
      case "K":
        stack.push(u8());
        break;
      case "M":
        take(2);
        stack.push(view.getUint16(at - 2, true));
        break;
      case "J":
        take(4);
        stack.push(view.getInt32(at - 4, true));
        break;
      case "\x8a":
        stack.push(integer(u8()));
        break;
      case "G":
        take(8);
        stack.push(view.getFloat64(at - 8, false));
        break;
      case "N":
        stack.push(null);
        break;
      case "\x88":
        stack.push(true);
        break;
      case "\x89":
        stack.push(false);
        break;
      case "q":
        memo.set(u8(), top());
        break;
      case "r":
        memo.set(u32(), top());
        break;
      case "\x94":
        memo.set(memo.size, top());
        break;
      case "h":
        stack.push(recall(u8()));
        break;
      case "j":
        stack.push(recall(u32()));
        break;
      case "0":
        pop();
        break;
      case "c":
        stack.push(new PickledGlobal(line(), line()));
        break;
      case "\x93": {
        const [symbol, module] = [pop(), pop()];
        if (typeof symbol !== "string" || typeof module !== "string") throw bad("a name is no text");
        stack.push(new PickledGlobal(module, symbol));
        break;
      }
      case "R":
        call();
        break;
      case "Q":
        stack.push(persistent(pop()));
        break;
      case "b": {
        // The state of an object: dictionaries and parameters have none worth keeping.
        const state = pop();
        if (!(state instanceof Map && state.size === 0) && !(top() instanceof Map))
          throw bad("it sets an object's state");
        break;
      }
      default:
        throw bad(`it has the operation 0x${op.charCodeAt(0).toString(16)} at byte ${at - 1}`);
    }
  }
}
