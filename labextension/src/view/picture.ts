/**
 * All charts in one small PNG, for the saved notebook.
 * It must not know the page's layout.
 */
import type { Line } from './families';
import { encodePng } from './png';
import { colourOf, Theme } from './theme';

export interface Panel {
  title: string;
  lines: Line[];
  /** Draws the chart at a size; a data URL. */
  draw(width: number, height: number): Promise<string>;
}

const SIZES: [number, number][] = [
  [440, 200],
  [360, 170],
  [280, 140]
];
const HEAD = 22;
const COLUMNS = 2;
/** Base64 characters of a picture that a notebook in version control can bear. */
const LIMIT = 50 * 1024 * (4 / 3);

/** The picture as base64 without the `data:` in front; smaller panels if it would be too heavy. */
export async function picture(panels: Panel[], theme: Theme): Promise<string> {
  let best = '';
  for (const size of SIZES) {
    best = await compose(panels, theme, size);
    if (best.length <= LIMIT) {
      break;
    }
  }
  return best;
}

async function compose(panels: Panel[], theme: Theme, [width, height]: [number, number]): Promise<string> {
  const columns = Math.min(COLUMNS, Math.max(1, panels.length));
  const canvas = document.createElement('canvas');
  canvas.width = width * columns;
  canvas.height = (height + HEAD) * Math.max(1, Math.ceil(panels.length / columns));
  const pen = canvas.getContext('2d');
  if (!pen) {
    throw new Error('This browser can’t draw pictures');
  }
  pen.fillStyle = theme.paper;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const [i, panel] of panels.entries()) {
    const [x, y] = [(i % columns) * width, Math.floor(i / columns) * (height + HEAD)];
    writeHead(pen, panel, theme, x + 10, y + 15);
    const image = new Image();
    image.src = await panel.draw(width, height);
    await image.decode();
    pen.drawImage(image, x, y + HEAD);
  }
  return base64(canvas, pen);
}

async function base64(canvas: HTMLCanvasElement, pen: CanvasRenderingContext2D): Promise<string> {
  if (!('CompressionStream' in globalThis)) {
    return canvas.toDataURL('image/png').split(',')[1]; // an older browser: larger, but the same picture
  }
  const png = await encodePng(pen.getImageData(0, 0, canvas.width, canvas.height));
  let text = '';
  for (const byte of png) {
    text += String.fromCharCode(byte);
  }
  return btoa(text);
}

function writeHead(pen: CanvasRenderingContext2D, panel: Panel, theme: Theme, x: number, y: number): void {
  pen.font = `600 12px ${theme.font}`;
  pen.fillStyle = theme.text;
  pen.fillText(panel.title, x, y);
  let at = x + pen.measureText(panel.title).width + 14;
  pen.font = `11px ${theme.font}`;
  for (const line of panel.lines) {
    pen.fillStyle = colourOf(theme, line.slot);
    pen.fillText(`— ${line.label}`, at, y);
    at += pen.measureText(`— ${line.label}`).width + 10;
  }
}
