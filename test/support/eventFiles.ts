// TensorBoard's event files read by a decoder that shares nothing with the writer: sums bit by bit, messages by hand.
import { Buffer } from "node:buffer";

export interface ReadValue {
  readonly tag: string;
  readonly scalar?: number;
  readonly picture?: {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    readonly png: Uint8Array;
  };
}
export interface ReadEvent {
  readonly time: number;
  readonly step: number;
  readonly version?: string;
  readonly values: readonly ReadValue[];
  /** The run went on here. */
  readonly restart: boolean;
}

/** Throws an Error where a length or a sum is wrong. */
export function readRecords(bytes: Uint8Array): ReadEvent[] {
  const buffer = Buffer.from(bytes);
  const events: ReadEvent[] = [];
  for (let at = 0; at < buffer.length; ) {
    const length = Number(buffer.readBigUInt64LE(at));
    check(buffer.subarray(at, at + 8), buffer.readUInt32LE(at + 8));
    const data = buffer.subarray(at + 12, at + 12 + length);
    if (data.length !== length) throw new Error("a record is cut off");
    check(data, buffer.readUInt32LE(at + 12 + length));
    events.push(readEvent(data));
    at += 16 + length;
  }
  return events;
}

function check(data: Uint8Array, stored: number): void {
  let c = 0xffff_ffffn;
  for (const byte of data) {
    c ^= BigInt(byte);
    for (let k = 0; k < 8; k++) c = c & 1n ? (c >> 1n) ^ 0x82f6_3b78n : c >> 1n;
  }
  c ^= 0xffff_ffffn;
  const masked = (((c >> 15n) | (c << 17n)) + 0xa282_ead8n) & 0xffff_ffffn;
  if (Number(masked) !== stored) throw new Error("a sum is wrong");
}

type Field = { readonly number: number; readonly value: bigint | Buffer };

function* fields(data: Buffer): Generator<Field> {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++];
      if (byte === undefined) throw new Error("a message is cut off");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return data.subarray(at - length, at);
  };
  while (at < data.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    const kind = tag & 7;
    if (kind === 0) yield { number, value: varint() };
    else if (kind === 1) yield { number, value: take(8) };
    else if (kind === 2) yield { number, value: take(Number(varint())) };
    else if (kind === 5) yield { number, value: take(4) };
    else throw new Error(`there is no wire type ${kind}`);
  }
}

const asBuffer = ({ value }: Field): Buffer => value as Buffer;

function readEvent(data: Buffer): ReadEvent {
  const event = {
    time: 0,
    step: 0,
    version: undefined as string | undefined,
    values: [] as ReadValue[],
    restart: false,
  };
  for (const field of fields(data)) {
    if (field.number === 1) event.time = asBuffer(field).readDoubleLE();
    else if (field.number === 2) event.step = Number(field.value);
    else if (field.number === 3) event.version = asBuffer(field).toString();
    else if (field.number === 5) event.values.push(...[...fields(asBuffer(field))].map((f) => readValue(asBuffer(f))));
    else if (field.number === 7)
      event.restart = [...fields(asBuffer(field))].some((f) => f.number === 1 && f.value === 1n);
    else throw new Error(`an event has no field ${field.number}`);
  }
  return event;
}

function readValue(data: Buffer): ReadValue {
  let value: ReadValue = { tag: "" };
  for (const field of fields(data)) {
    if (field.number === 1) value = { ...value, tag: asBuffer(field).toString() };
    else if (field.number === 2) value = { ...value, scalar: asBuffer(field).readFloatLE() };
    else if (field.number === 4) {
      const [height, width, channels, png] = [...fields(asBuffer(field))].map((f) => f.value);
      const size = { width: Number(width), height: Number(height), channels: Number(channels) };
      value = { ...value, picture: { ...size, png: new Uint8Array(png as Buffer) } };
    } else throw new Error(`a value has no field ${field.number}`);
  }
  return value;
}
