/**
 * One chart as numbers: which lines, in which ranges, with which ticks, and the layout that plotly.js is given.
 * It must not touch the DOM.
 */
import type { Line } from './families';
import type { AxisLayout, Layout, Trace } from './plotly';
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
  /** An abandoned stretch, in grey. */
  branch: boolean;
  dots: boolean;
  /** So many points that the line is drawn as a hair, which takes a tenth of the time. */
  dense: boolean;
}

/** Everything that is needed to draw. Figures with the same `frame` differ in points, ranges and ticks only. */
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
const DENSE_FROM = 600;
const MOST_X_TICKS = 12;
const FONT_SIZE = 11;
const CHARACTER = 6.3;
const LINE_WIDTH = 1.6;
const BOLD_WIDTH = 2.4;
const TRANSPARENT = 'rgba(0,0,0,0)';
const BARE = [0, 1];
const FAINT = 0.3;

/**
 * Lay out a chart.
 *
 * @param held - the last figure if it was of the same kind: its range of values is kept if it still fits, and so is
 *   the room for its labels, so that the columns stand still.
 */
export function layOut(view: View, held: Figure | null): Figure {
  const curves = curvesOf(view);
  const y = rangeOfValues(curves, view, held?.y ?? null);
  const yCount = Math.max(2, Math.floor(view.height / 36));
  const yTicks = view.logY ? logTicks(y, yCount) : valueTicks(y, yCount);
  const longest = Math.max(3, ...yTicks.map(({ text }) => text.length));
  // In steps, so that a digit more or less doesn't move the whole chart.
  const room = Math.ceil((longest * CHARACTER + 12) / 8) * 8;
  const margin = { l: Math.max(room, held?.margin.l ?? 0), r: 12, t: 8, b: 24 };
  const inner = view.width - margin.l - margin.r;
  const xTicks = runTicks(view.axis, view.x, Math.max(2, Math.min(MOST_X_TICKS, Math.floor(inner / 84))));
  const frame = JSON.stringify([
    view.width,
    view.height,
    view.theme,
    curves.map(curve => [curve.uid, curve.line.slot, curve.dense])
  ]);
  return { view, curves, x: view.x, y, xTicks, yTicks, margin, frame };
}

/** The curves in the order of drawing: what was abandoned, then raw values, then means on top. */
function curvesOf({ lines, smoothing, x }: View): Curve[] {
  const branches: Curve[] = [];
  const raw: Curve[] = [];
  const smooth: Curve[] = [];
  for (const { line, series } of lines) {
    const curve: Curve = {
      uid: `m${line.id}`,
      line,
      series,
      x: series.x.subarray(0, series.length),
      y: series.y.subarray(0, series.length),
      // A mean of a few points would only hide them.
      faint: smoothing > 0 && series.length > DOTS_UP_TO,
      branch: false,
      dots: series.length <= DOTS_UP_TO,
      dense: series.length > DENSE_FROM
    };
    raw.push(curve);
    if (curve.faint) {
      const y = smoothed(curve.x, curve.y, smoothing, x[1] - x[0]);
      smooth.push({ ...curve, uid: `s${line.id}`, y, faint: false, dots: false });
    }
    series.branches.forEach((branch, i) => {
      branches.push({ ...curve, ...branch, uid: `b${line.id}-${i}`, faint: false, branch: true, dots: false });
    });
  }
  return [...branches, ...raw, ...smooth];
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

/** The curves as plotly.js takes them, with their points or (`bare`) with a stroke that is written over at once. */
export function tracesOf({ curves, view: { theme } }: Figure, bare = false): Trace[] {
  return curves.map(curve => {
    const color = curve.branch ? theme.branch : colourOf(theme, curve.line.slot);
    const quiet = curve.faint || curve.branch;
    return {
      uid: curve.uid,
      type: 'scatter',
      mode: curve.dots && !bare ? 'lines+markers' : 'lines',
      x: bare ? BARE : curve.x,
      y: bare ? BARE : curve.y,
      // The dash belongs to the line that is read; behind a smoothed one it would only be noise.
      line: {
        color,
        dash: quiet ? 'solid' : dashOf(curve.line.slot),
        width: quiet ? 1 : widthOf(curve, theme)
      },
      marker: { color, size: quiet ? 3 : 5 },
      opacity: curve.faint ? FAINT : 1,
      cliponaxis: true,
      hoverinfo: 'skip'
    };
  });
}

function widthOf({ dense }: Curve, { contrast }: Theme): number {
  return contrast ? (dense ? LINE_WIDTH : BOLD_WIDTH) : dense ? 1 : LINE_WIDTH;
}

/**
 * What plotly.js is given on the page: a plain stage for the curves, from 0 to 1 both ways.
 *
 * Ranges, ticks and points change several times a second, and each time plotly.js would take longer than a frame;
 * so it sets the stage once, with its lines and its zoom, and the rest is written by us.
 */
export function stageOf({ view }: Figure, revision: number): Layout {
  const axis: AxisLayout = {
    type: 'linear',
    range: [0, 1],
    tickmode: 'array',
    tickvals: [],
    ticktext: [],
    visible: false,
    fixedrange: false
  };
  return {
    width: view.width,
    height: view.height,
    margin: { l: 0, r: 0, t: 0, b: 0, pad: 0, autoexpand: false },
    autosize: false,
    datarevision: revision,
    showlegend: false,
    hovermode: false,
    dragmode: 'zoom',
    paper_bgcolor: TRANSPARENT,
    plot_bgcolor: TRANSPARENT,
    font: { color: view.theme.quiet, family: view.theme.font, size: FONT_SIZE },
    xaxis: axis,
    yaxis: { ...axis, fixedrange: true }
  };
}

/** The whole frame as plotly.js takes it, for a picture. `paper` is the background. */
export function layoutOf(figure: Figure, paper: string): Layout {
  const { view, margin } = figure;
  const { theme } = view;
  const axis = { zeroline: false, gridcolor: theme.grid, linecolor: theme.grid, fixedrange: false, automargin: false };
  return {
    width: view.width,
    height: view.height,
    margin: { ...margin, pad: 0, autoexpand: false },
    autosize: false,
    datarevision: 0,
    showlegend: false,
    hovermode: false,
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
