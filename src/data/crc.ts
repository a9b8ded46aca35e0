// Checksums of 32 bits: the one that PNG and zip keep of their pieces (https://www.w3.org/TR/png-3/#D-CRCAppendix), and
// Castagnoli's, of event files (RFC 3720, appendix B.4).

const tableOf = (polynomial: number): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? polynomial ^ (c >>> 1) : c >>> 1;
    return c;
  });

function sum(table: Uint32Array, bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]) & 0xff] ^ (c >>> 8);
  return ~c >>> 0;
}

// Polynomials with their bits reversed.
const ieee = tableOf(0xedb88320);
const castagnoli = tableOf(0x82f63b78);

export const crc32 = (bytes: Uint8Array): number => sum(ieee, bytes);
export const crc32c = (bytes: Uint8Array): number => sum(castagnoli, bytes);
