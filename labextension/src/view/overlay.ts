/**
 * What lies over a chart: marks of what happened, the best values, the cursor and the box that tells all values at it.
 * It must not know plotly.js or where the data come from.
 */
import { metric } from '../format';
import { Checkpoint, nearestCheckpoint } from './checkpoints';
import { draw, make } from './elements';
import { direction } from './families';
import type { Curve, Figure } from './figure';
import type { Mark } from './marks';
import { dotsOf, nearest, Places, placesOf } from './places';
import { placeText } from './scale';
import type { Series } from './store';
import { colourOf, dashOf } from './theme';
import { say, Translate } from './words';

/** Marks closer than this are drawn once; those this near to the cursor are told. */
const CROWDED = 5;
const NEAR = 7;
const MOST_TOLD = 4;

const SYMBOLS: Record<Mark['kind'], string> = {
  checkpoint: '▲',
  best: '★',
  act: '◆',
  rate: '▼',
  rescale: '■',
  warning: '!',
  nonfinite: '✕',
  failure: '✕'
};
/** Marks that a line leads to through the whole chart. */
const LINED = new Set<Mark['kind']>(['act', 'rate', 'rescale', 'failure']);

/** How much is told at the cursor: everything in a box, the values, or nothing. */
export type Told = 'all' | 'values';

export class Overlay {
  readonly svg = draw('svg', { class: 'lit-overlay', 'aria-hidden': 'true' });
  readonly tip = make('div.lit-tip', { hidden: true, role: 'status', 'aria-live': 'off' });

  /**
   * @param resume - called when a person wants to go on from a checkpoint.
   */
  constructor(
    private readonly trans: Translate,
    private readonly resume: (checkpoint: Checkpoint) => void
  ) {
    this.svg.append(this.dots, this.fixed, this.cursor);
  }

  /** Show `figure`'s marks; `marks` in any order. */
  show(figure: Figure, marks: Mark[], checkpoints: Checkpoint[]): void {
    this.figure = figure;
    this.checkpoints = checkpoints;
    this.places = placesOf(figure);
    this.marks = marks.filter(({ at }) => at >= figure.x[0] && at <= figure.x[1]);
    const { width, height } = figure.view;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const place = `translate(${this.places.left},${this.places.top})`;
    this.fixed.setAttribute('transform', place);
    this.cursor.setAttribute('transform', place);
    this.dots.replaceChildren(...this.drawPoints(figure, this.places));
    this.fixed.replaceChildren(...this.drawMarks(), ...this.drawBest());
    if (this.at !== null) {
      this.point(this.at, this.told);
    }
  }

  /** The place on the axis under a pixel of the chart, null outside of the plotted area. */
  placeAt(pixel: number): number | null {
    const { places } = this;
    if (!places) {
      return null;
    }
    const inside = pixel - places.left;
    return inside >= -2 && inside <= places.width + 2 ? places.xAt(inside) : null;
  }

  /** Whether the box stands still, with what can be done from it. */
  get pinned(): boolean {
    return this.pin !== null;
  }

  /** Keep the box where it is until it is let go of. */
  setPinned(pinned: boolean): void {
    this.pin = pinned ? this.at : null;
    this.tip.classList.toggle('lit-mod-pinned', this.pinned);
    if (this.at !== null) {
      this.point(this.at, 'all');
    }
  }

  /** Put the cursor at a place on the axis, null for nowhere. */
  point(at: number | null, told: Told): void {
    this.at = this.pin ?? at;
    this.told = this.pinned ? 'all' : told;
    const { figure, places } = this;
    if (this.at === null || !figure || !places || this.at < figure.x[0] || this.at > figure.x[1]) {
      this.cursor.replaceChildren();
      this.tip.hidden = true;
      return;
    }
    const x = places.px(this.at);
    const line = draw('line', { class: 'lit-cursor', x1: x, x2: x, y1: 0, y2: places.height });
    this.cursor.replaceChildren(line, ...this.drawDots(this.at, figure, places));
    this.tip.hidden = this.told !== 'all';
    if (this.told === 'all') {
      this.fillTip(this.at, x, figure, places);
    }
  }

  /** The value of each line at the cursor, null without a cursor. */
  get values(): Map<number, string> | null {
    if (this.at === null || !this.figure) {
      return null;
    }
    return new Map(readings(this.figure, this.at).map(({ curve, i }) => [curve.line.id, valueText(curve.y[i])]));
  }

  private readonly dots = draw('g');
  private readonly fixed = draw('g');
  private readonly cursor = draw('g');
  private figure: Figure | null = null;
  private places: Places | null = null;
  private marks: Mark[] = [];
  private checkpoints: Checkpoint[] = [];
  private at: number | null = null;
  private pin: number | null = null;
  private told: Told = 'values';

  private drawMarks(): Element[] {
    const places = this.places as Places;
    const figure = this.figure as Figure;
    const found: Element[] = [];
    const last: Partial<Record<Mark['kind'], number[]>> = {};
    for (const { kind, at, abandoned } of inOrder(this.marks)) {
      const x = places.px(at);
      const near = (last[kind] ??= []);
      if (near.some(other => Math.abs(x - other) < CROWDED)) {
        continue;
      }
      near.push(x);
      const y = kind === 'act' ? this.heightOnCurve(at, figure, places) : HANGING.has(kind) ? 0 : places.height;
      const look = `lit-mod-${kind}${abandoned ? ' lit-mod-abandoned' : ''}`;
      if (LINED.has(kind)) {
        found.push(draw('line', { class: `lit-mark-line ${look}`, x1: x, x2: x, y1: 0, y2: places.height }));
      }
      found.push(draw('path', { class: `lit-mark ${look}`, d: SHAPES[kind], transform: `translate(${x},${y})` }));
    }
    return found;
  }

  /** An act lies on the first curve, where its effect is seen; without one on the axis. */
  private heightOnCurve(at: number, figure: Figure, places: Places): number {
    const curve = figure.curves.find(each => !each.faint && !each.branch && each.x.length > 0);
    const i = curve ? nearest(curve.x, at) : -1;
    const y = curve && i >= 0 ? places.py(curve.y[i]) : NaN;
    return Number.isFinite(y) ? Math.max(0, Math.min(places.height, y)) : places.height;
  }

  /** Points of short curves, and those that no line leads to. */
  private drawPoints(figure: Figure, places: Places): Element[] {
    const { theme } = figure.view;
    return figure.curves.flatMap(curve => {
      const d = curve.branch ? '' : dotsOf(curve.x, curve.y, places, curve.dots);
      const stroke = colourOf(theme, curve.line.slot);
      const size = curve.faint || !curve.dots ? 3 : 5;
      return d ? [draw('path', { class: 'lit-dots', 'data-curve': curve.uid, d, stroke, 'stroke-width': size })] : [];
    });
  }

  private drawBest(): Element[] {
    const places = this.places as Places;
    const figure = this.figure as Figure;
    return bests(figure).flatMap(({ curve, at, value }) => {
      const [x, y] = [places.px(at), places.py(value)];
      const inside = x >= -1 && x <= places.width + 1 && y >= -1 && y <= places.height + 1;
      const look = { class: 'lit-best', cx: x, cy: y, r: 4, stroke: colourOf(figure.view.theme, curve.line.slot) };
      return inside ? [draw('circle', look)] : [];
    });
  }

  private drawDots(at: number, figure: Figure, places: Places): Element[] {
    return readings(figure, at).flatMap(({ curve, i }) => {
      const y = places.py(curve.y[i]);
      const look = { cx: places.px(curve.x[i]), cy: y, r: 3, fill: colourOf(figure.view.theme, curve.line.slot) };
      return Number.isFinite(y) ? [draw('circle', look)] : [];
    });
  }

  private fillTip(at: number, x: number, figure: Figure, places: Places): void {
    const rows = readings(figure, at).map(({ curve, i, raw }) => {
      const value = raw === null ? valueText(curve.y[i]) : `${valueText(raw)} (${valueText(curve.y[i])})`;
      return make(
        'div.lit-tip-row',
        {},
        swatch(figure, curve),
        make('span', {}, curve.line.label),
        make('b', {}, value)
      );
    });
    const near = this.marks.filter(mark => Math.abs(places.px(mark.at) - x) <= NEAR);
    const told = near.slice(-MOST_TOLD).map(({ kind, words }) => {
      const symbol = make('span', { class: `lit-symbol lit-mod-${kind}`, 'aria-hidden': 'true' }, SYMBOLS[kind]);
      return make('div.lit-tip-mark', {}, symbol, words);
    });
    const more =
      near.length > MOST_TOLD
        ? [make('div.lit-tip-mark', {}, say(this.trans, 'and %1 more', near.length - MOST_TOLD))]
        : [];
    const head = make('div.lit-tip-head', {}, this.placeWords(at, figure));
    this.tip.replaceChildren(head, ...rows, ...told, ...more, ...this.tellCheckpoint(at));
    // On the side that has room, so that the box never covers the cursor.
    const left = x > places.width / 2;
    this.tip.style.left = left ? '' : `${places.left + x + 12}px`;
    this.tip.style.right = left ? `${figure.view.width - places.left - x + 12}px` : '';
  }

  /** The checkpoint to go back to from here. */
  private tellCheckpoint(at: number): Element[] {
    const near = nearestCheckpoint(this.checkpoints, at);
    if (!near) {
      return [];
    }
    const words = say(this.trans, 'nearest checkpoint: %1 (step %2)', near.name, near.step.toLocaleString('en'));
    const symbol = make('span.lit-symbol.lit-mod-checkpoint', { 'aria-hidden': 'true' }, SYMBOLS.checkpoint);
    const line = make('div.lit-tip-mark', {}, symbol, words);
    if (!this.pinned) {
      return [line, make('div.lit-tip-mark.lit-mod-hint', {}, this.trans('click to resume from it'))];
    }
    const button = make(
      'button.lit-button',
      { type: 'button', 'data-act': 'resume-here', click: () => this.resume(near) },
      this.trans('Resume here')
    );
    return [line, make('div.lit-tip-acts', {}, button)];
  }

  private placeWords(at: number, { view }: Figure): string {
    const text = placeText(view.axis, at);
    if (view.axis === 'step' || view.axis === 'epoch') {
      return say(this.trans, view.axis === 'step' ? 'step %1' : 'epoch %1', text);
    }
    return text;
  }
}

const SHAPES: Record<Mark['kind'], string> = {
  checkpoint: 'M0,-6.5L4,0L-4,0Z',
  best: 'M0,-10.5L1.6,-7L5.5,-6.6L2.6,-4L3.4,-0.2L0,-2.2L-3.4,-0.2L-2.6,-4L-5.5,-6.6L-1.6,-7Z',
  act: 'M0,-5.5L5.5,0L0,5.5L-5.5,0Z',
  rate: 'M0,8L5,0L-5,0Z',
  rescale: 'M-4,0H4V8H-4Z',
  warning: 'M0,-9V-3.4M0,-1.4V0',
  nonfinite: 'M-3.5,-7L3.5,0M3.5,-7L-3.5,0',
  failure: 'M-4.5,-9L4.5,0M4.5,-9L-4.5,0'
};
/** Marks that hang from the top; the others stand on the axis, an act lies on the curve. */
const HANGING = new Set<Mark['kind']>(['rate', 'rescale']);

/** Along the run, those of abandoned stretches last: where marks crowd, one that counts is drawn. */
function inOrder(marks: Mark[]): Mark[] {
  return [...marks].sort((a, b) => Number(a.abandoned ?? false) - Number(b.abandoned ?? false) || a.at - b.at);
}

interface Best {
  curve: Curve;
  at: number;
  value: number;
}

/** The best point of each line for which that means something: validation and test, else what the person put first. */
export function bests({ curves: every }: Figure): Best[] {
  const curves = every.filter(({ branch }) => !branch);
  const measured = curves.some(({ line }) => line.phase === 'val' || line.phase === 'test');
  const seen = new Set<Series>();
  return curves.flatMap(curve => {
    const { line, series } = curve;
    const counts = measured ? line.phase === 'val' || line.phase === 'test' : series.progBar && line.phase === '';
    const best = bestOf(series);
    if (!counts || !best || seen.has(series) || series.total < 2) {
      return [];
    }
    seen.add(series);
    return [{ curve, at: best[0], value: best[1] }];
  });
}

/** Place and value of the best of a series; null where its name doesn't say what is better. */
export function bestOf(series: Series): [number, number] | null {
  const way = direction(series.name);
  const spot = way < 0 ? series.min : way > 0 ? series.max : null;
  return spot && typeof spot[1] === 'number' ? [spot[0], spot[1]] : null;
}

/** Each line's point nearest to `at`; `raw` is the value before smoothing, null without smoothing. */
function readings({ curves }: Figure, at: number): { curve: Curve; i: number; raw: number | null }[] {
  return curves.flatMap(curve => {
    const i = curve.faint || curve.branch ? -1 : nearest(curve.x, at);
    if (i < 0) {
      return [];
    }
    const smooth = curve.uid.startsWith('s');
    return [{ curve, i, raw: smooth ? curve.series.y[i] : null }];
  });
}

/** A short piece of the line as it is drawn. */
export function swatch(figure: Figure, curve: Curve): Element {
  return lineSample(colourOf(figure.view.theme, curve.line.slot), dashOf(curve.line.slot));
}

export function lineSample(colour: string, dash: string): Element {
  const look = { x1: 1, x2: 19, y1: 5, y2: 5, stroke: colour, 'stroke-width': 2 };
  const line = draw('line', dash === 'solid' ? look : { ...look, 'stroke-dasharray': dash.replace(/px/g, '') });
  return draw('svg', { class: 'lit-swatch', width: 20, height: 10, 'aria-hidden': 'true' }, line);
}

/** The packet's f32 as the decimal number it stands for. */
function valueText(value: number): string {
  if (Number.isFinite(value)) {
    return metric(Number(value.toPrecision(6)));
  }
  return metric(Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf');
}
