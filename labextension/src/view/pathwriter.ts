/**
 * Writes the `d` of long paths without leaving anything for the collector: one buffer, one string at the end.
 * It must not know what is drawn.
 *
 * A chart's curves hold thousands of points and are written several times a second; a string for each number would
 * make the page stop for the collector just while somebody drags or scrolls.
 */

const [MINUS, DOT, COMMA, ZERO, M, L] = [45, 46, 44, 48, 77, 76];
/** A point takes at most this many characters: a letter, two numbers up to ±99999.9, a comma. */
const MOST = 20;
const LARGEST = 99_999;

export class PathWriter {
  /** Begin a path of at most so many points. */
  begin(points: number): void {
    if (this.buffer.length < points * MOST) {
      this.buffer = new Uint8Array(points * MOST * 2);
    }
    this.at = 0;
  }

  /** Move to a point, or draw a line to it; `x` and `y` are tenths of a pixel. */
  add(line: boolean, x: number, y: number): void {
    this.buffer[this.at++] = line ? L : M;
    this.tenths(x);
    this.buffer[this.at++] = COMMA;
    this.tenths(y);
  }

  /** The path. */
  end(): string {
    return this.decoder.decode(this.buffer.subarray(0, this.at));
  }

  private buffer = new Uint8Array(0);
  private at = 0;
  private readonly decoder = new TextDecoder();

  private tenths(value: number): void {
    const { buffer } = this;
    let left = Math.min(LARGEST * 10, Math.abs(value)) | 0;
    if (value < 0 && left > 0) {
      buffer[this.at++] = MINUS;
    }
    const tenth = left % 10;
    left = (left - tenth) / 10;
    let unit = 1;
    while (unit * 10 <= left) {
      unit *= 10;
    }
    for (; unit >= 1; unit = (unit / 10) | 0) {
      buffer[this.at++] = ZERO + (((left / unit) | 0) % 10);
    }
    if (tenth > 0) {
      buffer[this.at++] = DOT;
      buffer[this.at++] = ZERO + tenth;
    }
  }
}
