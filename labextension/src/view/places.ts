/**
 * From numbers to pixels and back inside one chart, and curves as SVG paths.
 * It must not touch the DOM.
 */
import type { Figure } from './figure';
import { PathWriter } from './pathwriter';

/** Inside the plotted area, whose upper left corner is (0, 0); `left` and `top` lead there from the chart's own. */
export interface Places {
  left: number;
  top: number;
  width: number;
  height: number;
  /** Pixel of a place on the run's axis. */
  px: (x: number) => number;
  /** Pixel of a value; NaN where a logarithmic axis has no place for it. */
  py: (y: number) => number;
  /** The place on the run's axis at a pixel. */
  xAt: (pixel: number) => number;
}

export function placesOf({ view, margin, x, y }: Figure): Places {
  const width = Math.max(1, view.width - margin.l - margin.r);
  const height = Math.max(1, view.height - margin.t - margin.b);
  const scaleX = width / (x[1] - x[0] || 1);
  const scaleY = height / (y[1] - y[0] || 1);
  return {
    left: margin.l,
    top: margin.t,
    width,
    height,
    px: at => (at - x[0]) * scaleX,
    py: value => height - ((view.logY ? Math.log10(value) : value) - y[0]) * scaleY,
    xAt: pixel => x[0] + pixel / scaleX
  };
}

/**
 * A curve as the `d` of a path in the chart's own coordinates; values that are not finite are gaps.
 *
 * Points left and right of the shown part are left out but for one on either side.
 */
export function pathOf(x: Float64Array, y: Float32Array, places: Places): string {
  const { px, py, width, left, top } = places;
  let drawn = 0;
  let pen = false;
  let at = x.length ? px(x[0]) : 0;
  let previous = NaN;
  writer.begin(x.length);
  for (let i = 0; i < x.length; i++) {
    const next = i + 1 < x.length ? px(x[i + 1]) : NaN;
    const out = (at < 0 && next < 0) || (at > width && previous > width);
    const place = out ? NaN : py(y[i]);
    const seen = Number.isFinite(place);
    if (seen) {
      // Down, along the run: rounding up could put a point into the next column of pixels.
      writer.add(pen, Math.floor((left + at) * 10), Math.round((top + clamp(place)) * 10));
      drawn += 1;
    }
    pen = seen;
    previous = at;
    at = next;
  }
  return drawn ? writer.end() : EMPTY;
}

const writer = new PathWriter();

/** The `d` of a curve without points. */
export const EMPTY = 'M0,0';

/** Points as the `d` of a path of round dots: all of them, or only those that no line leads to or from. */
export function dotsOf(x: Float64Array, y: Float32Array, places: Places, all: boolean): string {
  const { px, py, width, left, top } = places;
  const parts: string[] = [];
  const gap = (i: number): boolean => !Number.isFinite(py(y[i] ?? NaN));
  for (let i = 0; i < x.length; i++) {
    if (!gap(i) && (all || (gap(i - 1) && gap(i + 1)))) {
      const at = px(x[i]);
      if (at >= 0 && at <= width) {
        parts.push(`M${Math.floor((left + at) * 10) / 10},${Math.round((top + clamp(py(y[i]))) * 10) / 10}h0`);
      }
    }
  }
  return parts.join('');
}

/** Very far places overflow what renderers calculate with. */
function clamp(pixel: number): number {
  return Math.max(-20_000, Math.min(20_000, pixel));
}

/** Index of the point nearest to `at`, −1 if there is none. */
export function nearest(x: Float64Array, at: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low === 0 || low === x.length) {
    return low === 0 ? (x.length ? 0 : -1) : x.length - 1;
  }
  return at - x[low - 1] <= x[low] - at ? low - 1 : low;
}
