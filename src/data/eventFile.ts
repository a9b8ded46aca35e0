// TensorBoard's event files: records of TensorFlow (length, data, checksums of both), each an `Event` message.
// https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto and summary.proto
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { crc32c } from "./crc.ts";

export interface Picture {
  /** A whole PNG file. */
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 color, 4 color and alpha. */
  readonly channels: number;
}

export type SummaryValue = { readonly tag: string } & ({ readonly scalar: number } | { readonly picture: Picture });

/** The first record of a file: its version. `time`: seconds since 1970, as everywhere here. */
export const fileVersion = (time: number): Uint8Array => record(event(time, 0).tag(3, bytes).string("brain.Event:2"));

/** Says that what earlier files hold from `step` on was lost in a restart: readers drop it. */
export const restartedAt = (step: number, time: number): Uint8Array =>
  record(event(time, step).tag(7, bytes).fork().tag(1, WireType.Varint).int32(START).join());

/** Values at a step. */
export function summary(values: readonly SummaryValue[], step: number, time: number): Uint8Array {
  const writer = event(time, step).tag(5, bytes).fork();
  for (const value of values) {
    writer.tag(1, bytes).fork().tag(1, bytes).string(value.tag);
    if ("scalar" in value) writer.tag(2, WireType.Bit32).float(value.scalar);
    else image(writer.tag(4, bytes).fork(), value.picture).join();
    writer.join();
  }
  return record(writer.join());
}

const bytes = WireType.LengthDelimited;
/** SessionLog.SessionStatus */
const START = 1;

function event(time: number, step: number): BinaryWriter {
  const writer = new BinaryWriter().tag(1, WireType.Bit64).double(time);
  return step === 0 ? writer : writer.tag(2, WireType.Varint).int64(step);
}

const image = (writer: BinaryWriter, { png, width, height, channels }: Picture): BinaryWriter =>
  [height, width, channels]
    .reduce((w, value, i) => w.tag(i + 1, WireType.Varint).int32(value), writer)
    .tag(4, bytes)
    .bytes(png);

function record(writer: BinaryWriter): Uint8Array {
  const data = writer.finish();
  const whole = new Uint8Array(data.length + 16);
  const view = new DataView(whole.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(whole.subarray(0, 8)), true);
  whole.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return whole;
}

/** A checksum of data that holds checksums itself would be weak: TensorFlow turns and shifts it. */
function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
