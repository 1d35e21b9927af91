/**
 * Writes an image of few colours as a small PNG: a palette of at most 256 colours, a byte a pixel, deflated.
 * It must not know what the image shows. A browser's own encoder always writes four bytes a pixel.
 */

/** Pixels as a canvas gives them: red, green, blue, opacity. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const MOST = 256;
/** Smooth edges need few shades: this many bits of each channel are kept. */
const BITS = 3;

/** The image as a PNG; opacity is left out. */
export async function encodePng(image: Pixels): Promise<Uint8Array> {
  const { colours, indices } = reduce(image);
  const { width, height } = image;
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8); // bits a pixel
  head.setUint8(9, 3); // by palette
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter: none
  for (let y = 0; y < height; y++) {
    rows.set(indices.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  return join([
    Uint8Array.from(SIGNATURE),
    chunk('IHDR', new Uint8Array(head.buffer)),
    chunk('PLTE', colours),
    chunk('IDAT', await deflate(rows)),
    chunk('IEND', new Uint8Array(0))
  ]);
}

/** The most frequent colours, and for each pixel the number of its nearest. */
function reduce({ data }: Pixels): { colours: Uint8Array; indices: Uint8Array } {
  const counts = new Map<number, number>();
  const keys = new Uint16Array(data.length / 4);
  for (let i = 0; i < keys.length; i++) {
    const key = (shade(data[4 * i]) << (2 * BITS)) | (shade(data[4 * i + 1]) << BITS) | shade(data[4 * i + 2]);
    keys[i] = key;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const frequent = [...counts].sort((a, b) => b[1] - a[1]).map(([key]) => key);
  const palette = frequent.slice(0, MOST);
  const numbers = new Map(palette.map((key, i) => [key, i]));
  for (const key of frequent.slice(MOST)) {
    numbers.set(key, nearestOf(key, palette));
  }
  const colours = Uint8Array.from(
    palette.flatMap(key => channels(key).map(level => Math.round((level * 255) / (2 ** BITS - 1))))
  );
  return { colours, indices: Uint8Array.from(keys, key => numbers.get(key) as number) };
}

function shade(value: number): number {
  return Math.round((value * (2 ** BITS - 1)) / 255);
}

function channels(key: number): number[] {
  const mask = 2 ** BITS - 1;
  return [(key >> (2 * BITS)) & mask, (key >> BITS) & mask, key & mask];
}

function nearestOf(key: number, palette: number[]): number {
  const wanted = channels(key);
  const distance = (other: number): number =>
    channels(other).reduce((sum, level, i) => sum + (level - wanted[i]) ** 2, 0);
  return palette.reduce((best, other, i) => (distance(other) < distance(palette[best]) ? i : best), 0);
}

async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(kind: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(body, 8);
  view.setUint32(8 + body.length, checksum(bytes.subarray(4, 8 + body.length)));
  return bytes;
}

/** CRC-32 as PNG asks for it. */
function checksum(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) {
      crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    }
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function join(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
