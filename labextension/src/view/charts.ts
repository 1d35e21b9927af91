/**
 * All charts of a run: which there are, in which order, which are folded, and when each is drawn.
 * It must not know the rest of the dashboard, or where the data come from.
 */
import { metric } from '../format';
import { Chart, ChartActs } from './chart';
import type { ChartSettings } from './chartbar';
import { Checkpoint, checkpointsOf } from './checkpoints';
import { Copied, Copy, markdownTable, pythonOfChart } from './copying';
import { DrawQueue } from './drawing';
import { make, setText } from './elements';
import { families, Family } from './families';
import type { View } from './figure';
import type { Layout } from './memory';
import { eventMarks, Mark, nonfiniteMarks, placing, rateMarks } from './marks';
import { bestOf } from './overlay';
import { Panel } from './picture';
import type { RunView } from './runview';
import type { Range } from './scale';
import type { RunStore } from './store';
import type { Theme } from './theme';
import { say, Translate } from './words';

/** More charts than this are folded until somebody opens them, and more than `MOST` are made when asked for. */
const OPEN = 8;
const MOST = 24;
/** Size of a copied chart. */
const COPY_SIZE: [number, number] = [640, 280];

export interface DeckActs {
  zoomed(window: Range): void;
  reset(): void;
  /** What is remembered (hidden lines, folded charts) has changed. */
  changed(): void;
  failed(words: string): void;
  copied: Copy;
  resume(checkpoint: Checkpoint): void;
}

export class ChartDeck {
  readonly elements: HTMLElement[];
  readonly hidden = new Set<string>();
  readonly folded: Record<string, boolean> = {};

  constructor(
    private readonly store: RunStore,
    private readonly view: RunView,
    private readonly settings: ChartSettings,
    private readonly theme: () => Theme,
    private readonly acts: DeckActs,
    private readonly trans: Translate
  ) {
    this.more = make('button.lit-choice.lit-mod-more', {
      type: 'button',
      hidden: true,
      click: () => {
        this.most = Infinity;
        this.arrange();
      }
    });
    this.elements = [this.first, this.others, this.more];
    this.queue = new DrawQueue<Chart>(
      chart => this.draw(chart),
      error => acts.failed(say(trans, 'A chart could not be drawn: %1', String(error)))
    );
  }

  get isEmpty(): boolean {
    return this.charts.length === 0;
  }

  /** Width of the widest chart in pixels; 0 while none is laid out. */
  get widest(): number {
    return Math.max(0, ...this.charts.map(chart => chart.size[0]));
  }

  /** Places of the events' marks on the axis. */
  get places(): number[] {
    return this.marks.map(({ at }) => at);
  }

  /** Take over what an earlier visit has left. */
  apply({ hidden, folded }: Layout): void {
    hidden.forEach(name => this.hidden.add(name));
    Object.assign(this.folded, folded);
    this.charts.forEach((chart, i) => (chart.isFolded = this.isFolded(chart.key, i)));
  }

  /** Give each family its chart, the first one the full width. */
  arrange(): void {
    const wanted = families(this.store.series.values());
    const known = new Map(this.charts.map(chart => [chart.key, chart]));
    this.charts = wanted.slice(0, this.most).map((family, i) => {
      const chart = known.get(family.key) ?? this.newChart(family, i);
      chart.setFamily(family);
      return chart;
    });
    const [first, ...others] = this.charts.map(({ element }) => element);
    place(this.first, first ? [first] : []);
    place(this.others, others);
    const left = wanted.length - this.charts.length;
    this.more.hidden = left === 0;
    setText(this.more, say(this.trans, 'show %1 more charts', left));
  }

  /** The events have changed, or the axis along which they lie. */
  mark(): void {
    const { events, axis } = this.store;
    this.marks = eventMarks(events, axis, this.trans);
    this.checkpoints = checkpointsOf(events, placing(axis, events));
  }

  redrawAll(): void {
    this.charts.forEach(chart => this.queue.ask(chart));
  }

  /** Draw those that show one of these series. */
  redraw(series: Set<number>): void {
    for (const chart of this.charts) {
      if (chart.lines.some(({ id }) => series.has(id))) {
        this.queue.ask(chart);
      }
    }
  }

  /** Put the cursor of all charts at a place; null takes it away. */
  point(at: number | null): void {
    this.charts.forEach(chart => this.queue.sees(chart) && chart.follow(at));
  }

  /** The chart that an element lies in. */
  at(area: Element): Chart | undefined {
    return this.charts.find(({ element }) => element.contains(area));
  }

  /** Let go of the box that stands still in a chart; whether there was one. */
  unpin(): boolean {
    return this.charts.some(chart => chart.unpin());
  }

  /** The charts as panels of one picture. */
  panels(theme: Theme): Panel[] {
    return this.charts
      .filter(chart => !chart.isFolded)
      .map(chart => ({
        title: chart.name,
        lines: chart.lines,
        draw: (width: number, height: number) => chart.picture({ ...this.viewOf(chart, width, height), theme })
      }));
  }

  dispose(): void {
    this.over = true;
    this.queue.dispose();
    this.charts.forEach(chart => chart.dispose());
  }

  private readonly first = make('div.lit-charts-first');
  private readonly others = make('div.lit-charts-others');
  private readonly more: HTMLButtonElement;
  private readonly queue: DrawQueue<Chart>;
  private charts: Chart[] = [];
  private marks: Mark[] = [];
  private checkpoints: Checkpoint[] = [];
  private most = MOST;
  private over = false;

  private isFolded(key: string, i: number): boolean {
    return this.folded[key] ?? i >= OPEN;
  }

  private newChart(family: Family, i: number): Chart {
    const acts: ChartActs = {
      zoomed: window => this.acts.zoomed(window),
      reset: () => this.acts.reset(),
      pointed: at => this.charts.forEach(other => other !== chart && this.queue.sees(other) && other.follow(at)),
      chosen: () => {
        this.queue.ask(chart);
        this.acts.changed();
      },
      folded: () => {
        this.folded[chart.key] = chart.isFolded;
        this.queue.ask(chart);
        this.acts.changed();
      },
      copied: this.acts.copied,
      resume: checkpoint => this.acts.resume(checkpoint)
    };
    const chart: Chart = new Chart(
      family,
      acts,
      this.hidden,
      this.copied(() => chart),
      this.trans
    );
    chart.isFolded = this.isFolded(family.key, i);
    this.queue.add(chart);
    return chart;
  }

  private async draw(chart: Chart): Promise<void> {
    const [width, height] = chart.size;
    if (this.over || chart.isFolded) {
      return;
    }
    if (width === 0 || height === 0) {
      // JupyterLab takes the page out of the layout while it changes its theme: the chart stays wanted.
      requestAnimationFrame(() => this.queue.ask(chart));
      return;
    }
    const view = this.viewOf(chart, width, height);
    const shown = view.lines.map(({ series }) => series);
    const rates = rateMarks(this.store.series.values(), this.trans);
    await chart.draw(view, [...this.marks, ...rates, ...nonfiniteMarks(shown, this.trans)], this.checkpoints);
    this.view.sharpen(
      chart.lines.map(({ id }) => id),
      chart.columns
    );
  }

  private viewOf(chart: Chart, width: number, height: number): View {
    const lines = chart.lines.flatMap(line => {
      const series = this.view.points(line.id, chart.columns);
      return series ? [{ line, series }] : [];
    });
    const { axis, logY, smoothing } = this.settings;
    return { lines, axis, logY, smoothing, x: this.view.range, theme: this.theme(), width, height };
  }

  /** A chart to take along: its picture and its numbers, or the Python that draws it. */
  private copied(chart: () => Chart): Copied {
    return {
      markdown: async () => {
        const { name, lines } = chart();
        const picture = await chart().picture(this.viewOf(chart(), ...COPY_SIZE));
        const rows = lines.map(line => {
          const series = this.store.series.get(line.id);
          const best = series && bestOf(series);
          return [line.name, metric(series?.last ?? undefined), best ? metric(best[1]) : ''];
        });
        const head = [this.trans('metric'), this.trans('last'), this.trans('best')];
        return `![${name}](${picture})\n\n${markdownTable([head, ...rows])}\n`;
      },
      python: () =>
        pythonOfChart(
          this.store.run,
          chart().lines.map(({ name }) => name),
          this.settings.logY
        )
    };
  }
}

/** Bring `children` into `parent` in this order, moving only what has to move: a moved chart loses its focus. */
function place(parent: HTMLElement, children: HTMLElement[]): void {
  children.forEach((child, i) => {
    if (parent.children[i] !== child) {
      parent.insertBefore(child, parent.children[i] ?? null);
    }
  });
}
