/**
 * What is encoded can be decoded by someone else's rules. It must not draw.
 * @vitest-environment node
 */
import { crc32, inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodePng, Pixels } from './png';

/** Chunks of a PNG, their checksums verified. */
function chunks(png: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const found = new Map<string, Uint8Array>();
  for (let at = 8; at < png.length;) {
    const length = view.getUint32(at);
    const kind = new TextDecoder().decode(png.subarray(at + 4, at + 8));
    expect(view.getUint32(at + 8 + length)).toBe(crc32(png.subarray(at + 4, at + 8 + length)));
    found.set(kind, png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return found;
}

/** The colours of the pixels, row by row. */
async function decoded({ width, height, data }: Pixels): Promise<number[][]> {
  const found = chunks(await encodePng({ width, height, data }));
  const palette = found.get('PLTE') as Uint8Array;
  const rows = inflateSync(found.get('IDAT') as Uint8Array);
  const pixels: number[][] = [];
  for (let y = 0; y < height; y++) {
    expect(rows[y * (width + 1)]).toBe(0);
    for (let x = 0; x < width; x++) {
      const i = rows[y * (width + 1) + 1 + x];
      pixels.push([...palette.subarray(3 * i, 3 * i + 3)]);
    }
  }
  return pixels;
}

function pixels(width: number, height: number, colour: (i: number) => number[]): Pixels {
  const data = Uint8ClampedArray.from(Array.from({ length: width * height }, (_, i) => [...colour(i), 255]).flat());
  return { width, height, data };
}

describe('encodePng', () => {
  it('keeps the colours of its palette exactly, in their places', async () => {
    const colours = [
      [255, 255, 255],
      [0, 0, 0],
      [0, 109, 182],
      [219, 73, 36]
    ];
    const image = pixels(3, 5, i => colours[i % 4]);
    expect(await decoded(image)).toEqual(Array.from({ length: 15 }, (_, i) => colours[i % 4]));
  });

  it('says its size and starts as a PNG does', async () => {
    const png = await encodePng(pixels(300, 7, () => [255, 255, 255]));
    expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    const head = new DataView(png.buffer, 16, 8);
    expect([head.getUint32(0), head.getUint32(4)]).toEqual([300, 7]);
    expect(png.length).toBeLessThan(200);
  });

  it('comes near to every colour of an image that has too many', async () => {
    const image = pixels(64, 64, i => [(i * 7) % 256, (i * 13) % 256, (i * 29) % 256]);
    const shown = await decoded(image);
    const off = shown.map((colour, i) => Math.max(...colour.map((c, k) => Math.abs(c - image.data[4 * i + k]))));
    expect(off.reduce((a, b) => a + b, 0) / off.length).toBeLessThan(30);
  });
});
