// From encoded pictures to one block of bytes [n, C, H, W]; all pictures must have one size.

/** Interleaved 8-bit pixels [height, width, channels]: grey, grey + alpha, RGB or RGBA. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** Decodes a PNG, JPEG or WebP; throws an Error naming `name` where it cannot. Injected, as platforms differ. */
export type Decode = (bytes: Uint8Array, name: string) => Promise<Image>;

export const isImageName = (name: string): boolean => /\.(png|jpe?g|webp)$/i.test(name);

export interface PackOptions {
  /** Where the pictures are from, for messages. */
  readonly name?: string;
  /** The [C, H, W] that the pictures must have; without it the first one decides. */
  readonly shape?: readonly [number, number, number];
}

export interface PackedImages {
  readonly pixels: Uint8Array;
  readonly shape: readonly [number, number, number];
}

/** Pictures decoded at a time: enough to keep the decoder's threads busy. */
const together = 32;

/** Decodes pictures in order. Throws an Error naming the first picture that has another size or number of channels. */
export async function packImages(
  items: AsyncIterable<{ readonly name: string; readonly bytes: Uint8Array }>,
  decode: Decode,
  options: PackOptions = {},
): Promise<PackedImages> {
  let expected = options.shape && { shape: options.shape, source: "the model" };
  let pixels = new Uint8Array(0);
  let used = 0;
  const add = ({ name, image }: { name: string; image: Image }) => {
    const opaque = withoutAlpha(image, name);
    const shape = [opaque.channels, opaque.height, opaque.width] as const;
    expected ??= { shape, source: name };
    if (shape.some((n, i) => n !== expected?.shape[i])) {
      throw new Error(
        `${name} is ${describe(shape)}, expected ${describe(expected.shape)} like ${expected.source}. Bring all images to one size and kind.`,
      );
    }
    const per = opaque.data.length;
    if (used + per > pixels.length) {
      const larger = new Uint8Array(Math.max(pixels.length * 2, per * together));
      larger.set(pixels.subarray(0, used));
      pixels = larger;
    }
    toPlanes(opaque, pixels.subarray(used, used + per));
    used += per;
  };
  let pending: Promise<{ name: string; image: Image }>[] = [];
  const flush = async () => {
    for (const done of await Promise.all(pending)) add(done);
    pending = [];
  };
  for await (const { name, bytes } of items) {
    pending.push(decode(bytes, name).then((image) => ({ name, image })));
    if (pending.length === together) await flush();
  }
  await flush();
  if (!expected || used === 0) throw new Error(`${options.name ?? "The dataset"} has no PNG, JPEG or WebP images.`);
  return { pixels: pixels.slice(0, used), shape: expected.shape };
}

/** [H, W, C] -> [C, H, W]. */
export function toPlanes({ width, height, channels, data }: Image, out = new Uint8Array(data.length)): Uint8Array {
  const area = width * height;
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < area; i++) out[c * area + i] = data[i * channels + c];
  }
  return out;
}

/** Drops an alpha channel that hides nothing; throws an Error for transparency, which has no color to train on. */
function withoutAlpha(image: Image, name: string): Image {
  const { width, height, channels, data } = image;
  if (channels !== 2 && channels !== 4) return image;
  const colors = channels - 1;
  const kept = new Uint8Array(width * height * colors);
  for (let i = 0; i < width * height; i++) {
    if (data[i * channels + colors] !== 255) {
      throw new Error(`${name} has transparent pixels, expected an opaque image. Flatten it onto a background.`);
    }
    for (let c = 0; c < colors; c++) kept[i * colors + c] = data[i * channels + c];
  }
  return { width, height, channels: colors, data: kept };
}

const describe = ([channels, height, width]: readonly [number, number, number]) =>
  `${width} x ${height} with ${channels} ${channels === 1 ? "channel" : "channels"}`;
