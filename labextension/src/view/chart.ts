/**
 * One chart: title, legend, the curves drawn by plotly.js, and what lies over them.
 * It must not know when it is drawn, or where the data come from.
 *
 * Only a new stage (size, colours, lines) goes through plotly.js. Points are written straight into the paths that it
 * made, and axes drawn by us, which takes a tenth of the time: nothing of its inside is read but the paths themselves.
 */
import { Axes } from './axes';
import type { Checkpoint } from './checkpoints';
import { Copied, Copy, copyButton } from './copying';
import { make, setAttribute, setText } from './elements';
import type { Family } from './families';
import { Figure, layOut, layoutOf, stageOf, tracesOf, View } from './figure';
import { Legend } from './legend';
import type { Mark } from './marks';
import { Overlay } from './overlay';
import { pathOf, Places, placesOf } from './places';
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
  /** The chart was folded or unfolded. */
  folded(): void;
  copied: Copy;
  resume(checkpoint: Checkpoint): void;
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
const CURSOR_STEP = 1 / 60;
/** A pointer that moves less between press and release has clicked. */
const CLICK = 4;

export class Chart {
  readonly element: HTMLElement;
  readonly legend: Legend;

  /**
   * @param hidden - names of hidden lines, shared by all charts.
   * @param what - what copying the chart gives.
   */
  constructor(
    private family: Family,
    private readonly acts: ChartActs,
    hidden: Set<string>,
    what: Copied,
    private readonly trans: Translate
  ) {
    this.legend = new Legend(trans, hidden, () => acts.chosen());
    this.overlay = new Overlay(trans, checkpoint => acts.resume(checkpoint));
    this.title = make('span', {}, family.title);
    this.fold = make(
      'button.lit-chart-title',
      {
        type: 'button',
        'aria-expanded': 'true',
        title: trans('Fold or unfold this chart'),
        click: () => this.toggle()
      },
      this.title
    );
    this.area = make(
      'div.lit-chart-area',
      {
        role: 'group',
        tabindex: 0,
        pointermove: (event: PointerEvent) => this.pointerAt(event),
        pointerdown: (event: PointerEvent) => this.pressed(event),
        pointerleave: () => this.point(null),
        blur: () => this.point(null)
      },
      this.axes.svg,
      this.plot,
      this.overlay.svg,
      this.overlay.tip
    );
    const copy = copyButton(acts.copied, what, family.title, trans);
    this.element = make(
      'section.lit-chart',
      { 'data-family': family.key },
      make('div.lit-chart-head', {}, this.fold, this.legend.element, copy),
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
    return this.family.lines.filter(line => !this.legend.isHidden(line.name));
  }

  get key(): string {
    return this.family.key;
  }

  get name(): string {
    return this.family.title;
  }

  get isFolded(): boolean {
    return this.area.hidden;
  }

  set isFolded(folded: boolean) {
    this.area.hidden = folded;
    setAttribute(this.fold, 'aria-expanded', String(!folded));
  }

  /** Width and height in pixels; 0 while it is not laid out. */
  get size(): [number, number] {
    return [this.area.clientWidth, this.area.clientHeight];
  }

  /** Columns of pixels in the plotted area as last drawn; 0 before. */
  get columns(): number {
    return this.places?.width ?? 0;
  }

  /** Draw what `view` shows, and `marks` over it. */
  async draw(view: View, marks: Mark[], checkpoints: Checkpoint[]): Promise<void> {
    const figure = layOut(view, this.held(view));
    const places = placesOf(figure);
    const standing = figure.frame === this.drawn?.frame && !this.disturbed;
    if (!standing) {
      this.revision += 1;
      this.disturbed = false;
      this.listen(await react(this.plot, tracesOf(figure, true), stageOf(figure, this.revision), CONFIG));
      this.paths.clear();
    }
    this.places = places;
    this.drawn = figure;
    this.write(figure, places);
    this.axes.show(figure, places);
    this.legend.show(this.family.lines, view);
    this.overlay.show(figure, marks, checkpoints);
    this.legend.read(this.overlay.values);
    this.describe(figure);
  }

  /** Show the cursor that stands in another chart. */
  follow(at: number | null): void {
    this.overlay.point(at, 'values');
    this.legend.read(this.overlay.values);
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
    const layout = layoutOf(figure, view.theme.paper);
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
  private readonly fold: HTMLButtonElement;
  private readonly area: HTMLElement;
  private readonly overlay: Overlay;
  private readonly axes = new Axes();
  private readonly paths = new Map<string, Element>();
  private plotted: PlotElement | null = null;
  private places: Places | null = null;
  private disturbed = false;
  private drawn: Figure | null = null;
  private listening = false;
  private revision = 0;
  private cursor: number | null = null;

  /** The last figure, if it was for the same kind of axis and the same part of the run. */
  private held(view: View): Figure | null {
    const before = this.drawn?.view;
    const alike = before && before.logY === view.logY && before.axis === view.axis && before.x[0] === view.x[0];
    return alike ? this.drawn : null;
  }

  /** Write the curves into the paths that plotly.js has made for them. */
  private write(figure: Figure, places: Places): void {
    const { left, top, width, height } = places;
    const { view } = figure;
    this.plot.style.clipPath = `inset(${top}px ${view.width - left - width}px ${view.height - top - height}px ${left}px)`;
    figure.curves.forEach((curve, i) => {
      this.pathOf(curve.uid)?.setAttribute('d', pathOf(curve.x, curve.y, places));
      const trace = this.plotted?.data?.[i];
      if (trace) {
        // What plotly.js calls its data stays true for whoever reads it.
        Object.assign(trace, { x: curve.x, y: curve.y });
      }
    });
  }

  private pathOf(uid: string): Element | null {
    const known = this.paths.get(uid);
    if (known?.isConnected) {
      return known;
    }
    const found = this.plot.querySelector(`.trace${uid} .js-line`);
    if (found) {
      found.classList.add('lit-mod-written');
      this.paths.set(uid, found);
    }
    return found;
  }

  private listen(plot: PlotElement): void {
    this.plotted = plot;
    if (this.listening) {
      return;
    }
    this.listening = true;
    plot.on('plotly_relayout', change => {
      const [low, high] = [change['xaxis.range[0]'], change['xaxis.range[1]']];
      const { places, drawn } = this;
      if (places && drawn && typeof low === 'number' && typeof high === 'number' && low < high) {
        this.disturbed = true; // plotly.js has drawn another part of its stage
        const at = (share: number): number => places.xAt(share * drawn.view.width - places.left);
        this.acts.zoomed([Math.max(drawn.x[0], at(low)), Math.min(drawn.x[1], at(high))]);
      }
    });
    plot.on('plotly_doubleclick', () => this.acts.reset());
  }

  /** Hold the box with the values where the cursor is, or let it go. */
  togglePin(): void {
    this.overlay.setPinned(!this.overlay.pinned && this.cursor !== null);
    if (this.overlay.pinned) {
      this.overlay.tip.querySelector('button')?.focus({ preventScroll: true });
    }
  }

  /** Let go of the box; whether there was one. */
  unpin(): boolean {
    const { pinned } = this.overlay;
    if (pinned) {
      this.togglePin();
      this.area.focus({ preventScroll: true });
    }
    return pinned;
  }

  private toggle(): void {
    this.isFolded = !this.isFolded;
    this.acts.folded();
  }

  private pointerAt(event: PointerEvent): void {
    const box = this.area.getBoundingClientRect();
    // While a button is down plotly.js shows what is being chosen.
    this.point(event.buttons ? null : this.overlay.placeAt(event.clientX - box.left));
  }

  /** A press that is let go of where it began is a click; plotly.js has taken over the pointer by then. */
  private pressed({ clientX, clientY, button, target }: PointerEvent): void {
    if (button !== 0 || this.overlay.tip.contains(target as Node)) {
      return;
    }
    const at = this.overlay.placeAt(clientX - this.area.getBoundingClientRect().left);
    const released = (event: PointerEvent): void => {
      if (at !== null && Math.hypot(event.clientX - clientX, event.clientY - clientY) < CLICK) {
        this.point(at);
        this.togglePin();
      }
    };
    window.addEventListener('pointerup', released, { once: true, capture: true });
  }

  private point(at: number | null): void {
    if (at !== this.cursor && !this.overlay.pinned) {
      this.cursor = at;
      this.overlay.point(at, 'all');
      this.legend.read(this.overlay.values);
      this.acts.pointed(at);
    }
  }

  private describe(figure: Figure): void {
    const values = figure.curves
      .filter(({ faint, branch }) => !faint && !branch)
      .map(({ line, series }) => `${line.name} ${metric(series.last ?? undefined)}`);
    const words = say(
      this.trans,
      'Chart of %1. Last values: %2. Arrow keys move the cursor, Enter holds it.',
      this.family.title,
      values.join(', ')
    );
    setAttribute(this.area, 'aria-label', words);
  }
}
