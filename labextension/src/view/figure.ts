/**
 * One chart as numbers: which lines, in which ranges, with which ticks, and the layout that plotly.js is given.
 * It must not touch the DOM.
 */
import type { Line } from './families';
import type { Layout, Trace } from './plotly';
import { logRange, logTicks, Range, runTicks, Tick, valueRange, valueTicks } from './scale';
import { smoothed } from './smooth';
import type { Axis } from './source';
import type { Series } from './store';
import { colourOf, dashOf, Theme } from './theme';

/** What a chart is to show. */
export interface View {
  lines: { line: Line; series: Series }[];
  axis: Axis;
  x: Range;
  logY: boolean;
  /** Strength of the smoothing, 0 to below 1. */
  smoothing: number;
  theme: Theme;
  width: number;
  height: number;
}

/** One drawn curve. */
export interface Curve {
  uid: string;
  line: Line;
  series: Series;
  x: Float64Array;
  y: Float32Array;
  /** The faint raw curve behind a smoothed one. */
  faint: boolean;
  dots: boolean;
}

/** Everything that is needed to draw. Two figures with the same `frame` differ in the curves' points only. */
export interface Figure {
  view: View;
  curves: Curve[];
  x: Range;
  /** In powers of ten if the axis is logarithmic. */
  y: Range;
  xTicks: Tick[];
  yTicks: Tick[];
  margin: Margin;
  frame: string;
}

export interface Margin {
  l: number;
  r: number;
  t: number;
  b: number;
}

/** A curve of so few points shows them as dots: a line of one point could not be seen. */
const DOTS_UP_TO = 40;
const MOST_X_TICKS = 12;
const FONT_SIZE = 11;
const CHARACTER = 6.3;
const LINE_WIDTH = 1.6;
const FAINT = 0.3;

/**
 * Lay out a chart.
 *
 * @param held - the range of values of the last figure, kept if it still fits.
 */
export function layOut(view: View, held: Range | null): Figure {
  const curves = curvesOf(view);
  const y = rangeOfValues(curves, view, held);
  const yCount = Math.max(2, Math.floor(view.height / 36));
  const yTicks = view.logY ? logTicks(y, yCount) : valueTicks(y, yCount);
  const longest = Math.max(3, ...yTicks.map(({ text }) => text.length));
  // In steps, so that a digit more or less doesn't move the whole chart.
  const margin = { l: Math.ceil((longest * CHARACTER + 12) / 8) * 8, r: 12, t: 8, b: 24 };
  const inner = view.width - margin.l - margin.r;
  const xTicks = runTicks(view.axis, view.x, Math.max(2, Math.min(MOST_X_TICKS, Math.floor(inner / 84))));
  const frame = JSON.stringify([
    [view.axis, view.logY, view.width, view.height, view.theme, view.x, y, margin.l],
    curves.map(curve => [curve.uid, curve.line.slot, curve.length === 0, curve.dots && curve.length])
  ]);
  return { view, curves, x: view.x, y, xTicks, yTicks, margin, frame };
}

function curvesOf({ lines, smoothing, x }: View): (Curve & { length: number })[] {
  const raw: (Curve & { length: number })[] = [];
  const smooth: (Curve & { length: number })[] = [];
  for (const { line, series } of lines) {
    const curve = {
      uid: `m${line.id}`,
      line,
      series,
      x: series.x.subarray(0, series.length),
      y: series.y.subarray(0, series.length),
      // A mean of a few points would only hide them.
      faint: smoothing > 0 && series.length > DOTS_UP_TO,
      dots: series.length <= DOTS_UP_TO,
      length: series.length
    };
    raw.push(curve);
    if (curve.faint) {
      const y = smoothed(curve.x, curve.y, smoothing, x[1] - x[0]);
      smooth.push({ ...curve, uid: `s${line.id}`, y, faint: false, dots: false });
    }
  }
  return [...raw, ...smooth];
}

function rangeOfValues(curves: Curve[], { x, logY }: View, held: Range | null): Range {
  let low = Infinity;
  let high = -Infinity;
  for (const curve of curves) {
    for (let i = 0; i < curve.x.length; i++) {
      const value = curve.y[i];
      if (curve.x[i] >= x[0] && curve.x[i] <= x[1] && Number.isFinite(value) && (!logY || value > 0)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
  }
  if (low > high) {
    return held ?? [0, 1];
  }
  return logY ? logRange(held, [low, high]) : valueRange(held, [low, high]);
}

/** The curves as plotly.js takes them. */
export function tracesOf({ curves, view: { theme } }: Figure): Trace[] {
  return curves.map(curve => {
    const color = colourOf(theme, curve.line.slot);
    return {
      uid: curve.uid,
      type: 'scatter',
      mode: curve.dots ? 'lines+markers' : 'lines',
      x: curve.x,
      y: curve.y,
      // The dash belongs to the line that is read; behind a smoothed one it would only be noise.
      line: { color, dash: curve.faint ? 'solid' : dashOf(curve.line.slot), width: curve.faint ? 1 : LINE_WIDTH },
      marker: { color, size: curve.faint ? 3 : 5 },
      opacity: curve.faint ? FAINT : 1,
      cliponaxis: true,
      hoverinfo: 'skip'
    };
  });
}

/** The frame as plotly.js takes it. `paper` is the background, transparent on the page. */
export function layoutOf(figure: Figure, revision: number, paper: string): Layout {
  const { view, margin } = figure;
  const { theme } = view;
  const axis = { zeroline: false, gridcolor: theme.grid, linecolor: theme.grid, fixedrange: false, automargin: false };
  return {
    width: view.width,
    height: view.height,
    margin: { ...margin, pad: 0, autoexpand: false },
    autosize: false,
    datarevision: revision,
    showlegend: false,
    hovermode: false,
    dragmode: 'zoom',
    paper_bgcolor: paper,
    plot_bgcolor: paper,
    font: { color: theme.quiet, family: theme.font, size: FONT_SIZE },
    xaxis: {
      ...axis,
      type: 'linear',
      range: [...figure.x],
      ...ticks(figure.xTicks, false),
      showgrid: false,
      showline: true
    },
    // The window is chosen along the run; values always fit themselves to it.
    yaxis: {
      ...axis,
      type: view.logY ? 'log' : 'linear',
      range: [...figure.y],
      ...ticks(figure.yTicks, view.logY),
      fixedrange: true
    }
  };
}

function ticks(
  list: Tick[],
  log: boolean
): { tickmode: 'array'; tickvals: number[]; ticktext: string[]; ticks: string } {
  return {
    tickmode: 'array',
    tickvals: list.map(({ at }) => (log ? 10 ** at : at)),
    ticktext: list.map(({ text }) => text),
    ticks: ''
  };
}
