/**
 * From numbers to pixels and back inside one chart, and curves as SVG paths.
 * It must not touch the DOM.
 */
import type { Figure } from './figure';

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
 * A curve as the `d` of a path; values that are not finite are gaps.
 *
 * Points left and right of the shown part are left out but for one on either side.
 */
export function pathOf(x: Float64Array, y: Float32Array, places: Places): string {
  const { px, py, width } = places;
  const parts: string[] = [];
  let pen = 'M';
  for (let i = 0; i < x.length; i++) {
    const at = px(x[i]);
    const before = i + 1 < x.length && px(x[i + 1]) < 0 && at < 0;
    const behind = i > 0 && px(x[i - 1]) > width && at > width;
    if (before || behind) {
      pen = 'M';
      continue;
    }
    const place = py(y[i]);
    if (!Number.isFinite(place)) {
      pen = 'M';
      continue;
    }
    parts.push(pen, tenth(at), ',', tenth(clamp(place)));
    pen = 'L';
  }
  return parts.join('') || 'M0,0';
}

function tenth(pixel: number): string {
  return String(Math.round(pixel * 10) / 10);
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
