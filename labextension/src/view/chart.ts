/**
 * One chart: title, legend, the curves drawn by plotly.js, and what lies over them.
 * It must not know when it is drawn, or where the data come from.
 *
 * Only a new frame (ranges, size, colours, lines) goes through plotly.js. Points that are added inside the frame are
 * written straight into the paths that it drew, which takes a tenth of the time; places are computed from the ranges
 * and margins that we gave it, so nothing of its inside is read but the paths themselves.
 */
import { make, setAttribute, setText } from './elements';
import type { Family } from './families';
import { Figure, layOut, layoutOf, tracesOf, View } from './figure';
import { Legend } from './legend';
import type { Mark } from './marks';
import { Overlay } from './overlay';
import { pathOf, placesOf } from './places';
import { PlotElement, purge, react, toImage } from './plotly';
import type { Range } from './scale';
import { metric } from '../format';
import { say, Translate } from './words';

/** What a chart reports to its owner. */
export interface ChartActs {
  /** A person has dragged over a part of the run. */
  zoomed(window: Range): void;
  reset(): void;
  /** The cursor is at a place of the axis, or nowhere. */
  pointed(at: number | null): void;
  /** Lines were hidden or shown. */
  chosen(): void;
}

const CONFIG = {
  displayModeBar: false,
  displaylogo: false,
  doubleClick: false,
  responsive: false,
  scrollZoom: false,
  showTips: false,
  // plotly.js can send a chart to a server of its makers: never from here.
  showSendToCloud: false,
  plotlyServerURL: ''
};
const TRANSPARENT = 'rgba(0,0,0,0)';
/** Every so many fast drawings one goes through plotly.js, so that its own idea of the data stays near. */
const RENEW_EVERY = 40;
const CURSOR_STEP = 1 / 60;

export class Chart {
  readonly element: HTMLElement;
  readonly legend: Legend;

  constructor(
    private family: Family,
    private readonly acts: ChartActs,
    private readonly trans: Translate
  ) {
    this.legend = new Legend(trans, () => acts.chosen());
    this.overlay = new Overlay(trans);
    this.title = make('h4.lit-chart-title', {}, family.title);
    this.area = make(
      'div.lit-chart-area',
      {
        role: 'img',
        tabindex: 0,
        pointermove: (event: PointerEvent) => this.pointerAt(event),
        pointerleave: () => this.point(null),
        blur: () => this.point(null)
      },
      this.plot,
      this.overlay.svg,
      this.overlay.tip
    );
    this.element = make(
      'section.lit-chart',
      { 'data-family': family.key },
      make('div.lit-chart-head', {}, this.title, this.legend.element),
      this.area
    );
  }

  /** Take over the lines of `family`, which may be more than before. */
  setFamily(family: Family): void {
    this.family = family;
    setText(this.title, family.title);
  }

  /** The lines that are to be seen. */
  get lines(): Family['lines'] {
    return this.family.lines.filter(line => !this.legend.isHidden(line.id));
  }

  get key(): string {
    return this.family.key;
  }

  get name(): string {
    return this.family.title;
  }

  /** Width and height in pixels; 0 while it is not laid out. */
  get size(): [number, number] {
    return [this.area.clientWidth, this.area.clientHeight];
  }

  /** Draw what `view` shows, and `marks` over it. */
  async draw(view: View, marks: Mark[]): Promise<void> {
    const figure = layOut(view, this.held(view));
    const fast = figure.frame === this.drawn?.frame && this.fastDraws < RENEW_EVERY && this.rewrite(figure);
    if (fast) {
      this.fastDraws += 1;
    } else {
      this.fastDraws = 0;
      this.revision += 1;
      const plot = await react(this.plot, tracesOf(figure), layoutOf(figure, this.revision, TRANSPARENT), CONFIG);
      this.listen(plot);
    }
    this.drawn = figure;
    this.legend.show(this.family.lines, view);
    this.overlay.show(figure, marks);
    if (!fast) {
      this.describe(figure);
    }
  }

  /** Show the cursor that stands in another chart. */
  follow(at: number | null): void {
    this.overlay.point(at, false);
  }

  /** Move the cursor by a small part of what is shown, so that values can be read without a pointer. */
  step(way: 1 | -1): void {
    if (this.drawn) {
      const [low, high] = this.drawn.x;
      const from = this.cursor ?? (way > 0 ? low : high);
      this.overlay.tip.setAttribute('aria-live', 'polite');
      this.point(Math.max(low, Math.min(high, from + way * CURSOR_STEP * (high - low))));
    }
  }

  /** The chart as a picture (data URL) on `view.theme`'s paper; its title and legend are left out. */
  picture(view: View): Promise<string> {
    const figure = layOut(view, null);
    const layout = layoutOf(figure, 0, view.theme.paper);
    return toImage(
      { data: tracesOf(figure), layout },
      { format: 'png', width: view.width, height: view.height, scale: 1 }
    );
  }

  dispose(): void {
    purge(this.plot);
    this.element.remove();
  }

  private readonly plot = make('div.lit-chart-plot');
  private readonly title: HTMLElement;
  private readonly area: HTMLElement;
  private readonly overlay: Overlay;
  private drawn: Figure | null = null;
  private listening = false;
  private fastDraws = 0;
  private revision = 0;
  private cursor: number | null = null;

  /** The range of values in use, if it was for the same kind of axis and the same part of the run. */
  private held(view: View): Range | null {
    const before = this.drawn?.view;
    const same = before && before.logY === view.logY && before.axis === view.axis && before.x[0] === view.x[0];
    return same ? (this.drawn as Figure).y : null;
  }

  /** Write the curves into the paths that are there; false if they aren't as expected. */
  private rewrite(figure: Figure): boolean {
    const places = placesOf(figure);
    const targets: [Element, string][] = [];
    for (const curve of figure.curves) {
      if (curve.x.length === 0) {
        continue;
      }
      // plotly.js draws a path for each stretch without gaps; one path can hold them all.
      const [first, ...others] = this.plot.querySelectorAll(`.trace${curve.uid} .js-line`);
      if (!first) {
        return false;
      }
      targets.push(
        [first, pathOf(curve.x, curve.y, places)],
        ...others.map((path): [Element, string] => [path, 'M0,0'])
      );
    }
    for (const [path, d] of targets) {
      path.setAttribute('d', d);
    }
    return true;
  }

  private listen(plot: PlotElement): void {
    if (this.listening) {
      return;
    }
    this.listening = true;
    plot.on('plotly_relayout', change => {
      const [low, high] = [change['xaxis.range[0]'], change['xaxis.range[1]']];
      if (typeof low === 'number' && typeof high === 'number' && low < high) {
        this.drawn = null; // plotly.js has drawn other ranges than ours
        this.acts.zoomed([low, high]);
      }
    });
    plot.on('plotly_doubleclick', () => this.acts.reset());
  }

  private pointerAt(event: PointerEvent): void {
    const box = this.area.getBoundingClientRect();
    // While a button is down plotly.js shows what is being chosen.
    this.point(event.buttons ? null : this.overlay.placeAt(event.clientX - box.left));
  }

  private point(at: number | null): void {
    if (at !== this.cursor) {
      this.cursor = at;
      this.overlay.point(at, true);
      this.acts.pointed(at);
    }
  }

  private describe(figure: Figure): void {
    const values = figure.curves
      .filter(({ faint }) => !faint)
      .map(({ line, series }) => `${line.name} ${metric(series.last ?? undefined)}`);
    const words = say(
      this.trans,
      'Chart of %1. Last values: %2. Arrow keys move the cursor.',
      this.family.title,
      values.join(', ')
    );
    setAttribute(this.area, 'aria-label', words);
  }
}
