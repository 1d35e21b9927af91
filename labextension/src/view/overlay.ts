/**
 * What lies over a chart: marks of what happened, the best values, the cursor and the box that tells all values at it.
 * It must not know plotly.js or where the data come from.
 */
import { metric } from '../format';
import { draw, make } from './elements';
import { direction } from './families';
import type { Curve, Figure } from './figure';
import type { Mark } from './marks';
import { nearest, Places, placesOf } from './places';
import { placeText } from './scale';
import type { Series } from './store';
import { colourOf, dashOf } from './theme';
import { say, Translate } from './words';

/** Marks closer than this are drawn once; those this near to the cursor are told. */
const CROWDED = 5;
const NEAR = 7;
const MOST_TOLD = 4;

export const SYMBOLS: Record<Mark['kind'], string> = { checkpoint: '▲', act: '◆', nonfinite: '✕', failure: '✕' };

export class Overlay {
  readonly svg = draw('svg', { class: 'lit-overlay', 'aria-hidden': 'true' });
  readonly tip = make('div.lit-tip', { hidden: true, role: 'status', 'aria-live': 'off' });

  constructor(private readonly trans: Translate) {
    this.svg.append(this.fixed, this.cursor);
  }

  /** Show `figure`'s marks; `marks` in any order. */
  show(figure: Figure, marks: Mark[]): void {
    this.figure = figure;
    this.places = placesOf(figure);
    this.marks = marks.filter(({ at }) => at >= figure.x[0] && at <= figure.x[1]);
    const { width, height } = figure.view;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const place = `translate(${this.places.left},${this.places.top})`;
    this.fixed.setAttribute('transform', place);
    this.cursor.setAttribute('transform', place);
    this.fixed.replaceChildren(...this.drawMarks(), ...this.drawBest());
    if (this.at !== null) {
      this.point(this.at, !this.tip.hidden);
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

  /** Put the cursor at a place on the axis, null for nowhere; `tell` opens the box with the values. */
  point(at: number | null, tell: boolean): void {
    this.at = at;
    const { figure, places } = this;
    if (at === null || !figure || !places || at < figure.x[0] || at > figure.x[1]) {
      this.cursor.replaceChildren();
      this.tip.hidden = true;
      return;
    }
    const x = places.px(at);
    const line = draw('line', { class: 'lit-cursor', x1: x, x2: x, y1: 0, y2: places.height });
    this.cursor.replaceChildren(line, ...(tell ? this.drawDots(at, figure, places) : []));
    this.tip.hidden = !tell;
    if (tell) {
      this.fillTip(at, x, figure, places);
    }
  }

  private readonly fixed = draw('g');
  private readonly cursor = draw('g');
  private figure: Figure | null = null;
  private places: Places | null = null;
  private marks: Mark[] = [];
  private at: number | null = null;

  private drawMarks(): Element[] {
    const places = this.places as Places;
    const figure = this.figure as Figure;
    const found: Element[] = [];
    const last: Partial<Record<Mark['kind'], number>> = {};
    for (const { kind, at } of [...this.marks].sort((a, b) => a.at - b.at)) {
      const x = places.px(at);
      if (x - (last[kind] ?? -Infinity) < CROWDED) {
        continue;
      }
      last[kind] = x;
      const y = kind === 'act' ? this.heightOnCurve(at, figure, places) : places.height;
      if (kind === 'act' || kind === 'failure') {
        found.push(draw('line', { class: `lit-mark-line lit-mod-${kind}`, x1: x, x2: x, y1: 0, y2: places.height }));
      }
      found.push(
        draw('path', { class: `lit-mark lit-mod-${kind}`, d: SHAPES[kind], transform: `translate(${x},${y})` })
      );
    }
    return found;
  }

  /** An act lies on the first curve, where its effect is seen; without one on the axis. */
  private heightOnCurve(at: number, figure: Figure, places: Places): number {
    const curve = figure.curves.find(each => !each.faint && each.x.length > 0);
    const i = curve ? nearest(curve.x, at) : -1;
    const y = curve && i >= 0 ? places.py(curve.y[i]) : NaN;
    return Number.isFinite(y) ? Math.max(0, Math.min(places.height, y)) : places.height;
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
    this.tip.replaceChildren(make('div.lit-tip-head', {}, this.placeWords(at, figure)), ...rows, ...told, ...more);
    // On the side that has room, so that the box never covers the cursor.
    const left = x > places.width / 2;
    this.tip.style.left = left ? '' : `${places.left + x + 12}px`;
    this.tip.style.right = left ? `${figure.view.width - places.left - x + 12}px` : '';
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
  act: 'M0,-5.5L5.5,0L0,5.5L-5.5,0Z',
  nonfinite: 'M-3.5,-7L3.5,0M3.5,-7L-3.5,0',
  failure: 'M-4.5,-9L4.5,0M4.5,-9L-4.5,0'
};

interface Best {
  curve: Curve;
  at: number;
  value: number;
}

/** The best point of each line for which that means something: validation and test, else what the person put first. */
export function bests({ curves }: Figure): Best[] {
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
    const i = curve.faint ? -1 : nearest(curve.x, at);
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
