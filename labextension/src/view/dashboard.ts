/**
 * The dashboard of one run: puts its parts together and passes what comes from the source on to them.
 * It must not know the wire or JupyterLab: it is mounted from two doors, a MIME renderer and an anywidget.
 */
import { clock } from '../format';
import { Chart, ChartActs } from './chart';
import { ChartBar, ChartSettings } from './chartbar';
import { Controls } from './controls';
import { DrawQueue } from './drawing';
import { make, setAttribute } from './elements';
import { EmptyState } from './emptystate';
import { statusOf } from './episode';
import { EtaWatch } from './eta';
import { EventList } from './eventlist';
import { families } from './families';
import type { View } from './figure';
import { Feed } from './feed';
import { firstHint } from './hint';
import { Keys } from './keys';
import { eventMarks, Mark, nonfiniteMarks } from './marks';
import { Headline, MetricsTable, Whereabouts } from './numbers';
import type { Packet, PacketHeader } from './packet';
import { picture } from './picture';
import { RunView } from './runview';
import type { Range } from './scale';
import type { CommandName, RunSource, RunState, RunStatus } from './source';
import { MachineLine, StatusLine } from './statusline';
import { Change, RunStore, Series } from './store';
import { plainTheme, readTheme, Theme, watchTheme } from './theme';
import { say, Translate } from './words';

export interface DashboardOptions {
  /** An evaluation shows head, progress and table only. */
  kind?: 'training' | 'evaluation';
  trans?: Translate;
  /** Where the run lies, as a person would write it; its name if not given. */
  directory?: string;
  /** Called once, when the run is seen to have ended. */
  onEnded?: (header: PacketHeader) => void;
  /** Called when a person asks for the run's files; without it their place is plain text. */
  onOpenRun?: () => void;
}

export interface Dashboard {
  dispose(): void;
  /** All charts in one PNG, base64. */
  toPNG(): Promise<string>;
}

const ENDED: RunState[] = ['finished', 'stopped', 'interrupted', 'failed', 'lost'];
/** Buckets to ask for, by the width of the widest chart: doubled seldom, so that a resize doesn't fetch all anew. */
const WIDTHS: [number, number][] = [
  [520, 512],
  [1100, 1024],
  [Infinity, 2048]
];

/** Show a run inside `host`. */
export function mountDashboard(host: HTMLElement, source: RunSource, options: DashboardOptions = {}): Dashboard {
  return new RunDashboard(host, source, options);
}

class RunDashboard implements Dashboard {
  constructor(
    host: HTMLElement,
    source: RunSource,
    private readonly options: DashboardOptions
  ) {
    const trans = options.trans ?? ((sentence: string): string => sentence);
    const evaluation = options.kind === 'evaluation';
    this.trans = trans;
    this.view = new RunView(this.store, source, () => this.redrawAll());
    this.statusLine = new StatusLine(trans);
    this.machine = new MachineLine(trans);
    this.headline = new Headline(trans);
    this.events = new EventList(trans);
    this.table = new MetricsTable(trans, evaluation);
    this.whereabouts = new Whereabouts(trans, options.onOpenRun);
    this.empty = new EmptyState(trans, !evaluation);
    this.controls = new Controls(
      (name, args) => this.command(source, name, args),
      trans,
      () => this.asked()
    );
    this.bar = new ChartBar(
      trans,
      what => this.setting(what),
      () => this.resetZoom(),
      () => this.keys.toggleHelp()
    );
    this.queue = new DrawQueue<Chart>(
      chart => this.draw(chart),
      error => this.statusLine.showConnection(say(trans, 'A chart could not be drawn: %1', String(error)))
    );
    this.root = make('div.lit-dashboard', { role: 'region', tabindex: 0, 'data-kind': options.kind ?? 'training' });
    this.keys = new Keys(this.root, this.keyActs(), trans);
    this.theme = readTheme(host);
    this.build(host, evaluation);
    this.feed = new Feed(source, {
      query: () => this.store.query(this.width),
      arrived: packet => this.arrived(packet),
      failed: (error, since) => this.failed(error, since)
    });
    this.stops.push(this.watch());
    this.feed.ask();
  }

  dispose(): void {
    if (this.over) {
      return;
    }
    this.over = true;
    this.feed.dispose();
    this.queue.dispose();
    this.stops.forEach(stop => stop());
    this.controls.dispose();
    this.keys.dispose();
    this.charts.forEach(chart => chart.dispose());
    this.root.remove();
  }

  toPNG(): Promise<string> {
    // On white, whatever this page looks like: who opens the file later may use any other.
    const theme = plainTheme(this.theme.font);
    const panels = this.charts.map(chart => ({
      title: chart.name,
      lines: chart.lines,
      draw: (width: number, height: number) => chart.picture({ ...this.viewOf(chart, width, height), theme })
    }));
    return picture(panels, theme);
  }

  private readonly trans: Translate;
  private readonly store = new RunStore();
  private readonly eta = new EtaWatch();
  private readonly view: RunView;
  private readonly feed: Feed;
  private readonly queue: DrawQueue<Chart>;
  private readonly statusLine: StatusLine;
  private readonly machine: MachineLine;
  private readonly headline: Headline;
  private readonly events: EventList;
  private readonly table: MetricsTable;
  private readonly whereabouts: Whereabouts;
  private readonly empty: EmptyState;
  private readonly controls: Controls;
  private readonly bar: ChartBar;
  private readonly keys: Keys;
  private readonly root: HTMLElement;
  private readonly first = make('div.lit-charts-first');
  private readonly others = make('div.lit-charts-others');
  private readonly stops: (() => void)[] = [];
  private charts: Chart[] = [];
  private marks: Mark[] = [];
  private theme: Theme;
  private width = WIDTHS[1][1];
  private shown: RunStatus | null = null;
  private ended = false;
  private over = false;

  private build(host: HTMLElement, evaluation: boolean): void {
    const head = [this.statusLine.element, make('div.lit-acts', {}, this.controls.element, this.machine.element)];
    const numbers = evaluation ? [] : [this.headline.element];
    const charts = evaluation ? [] : [this.bar.element, this.first, this.others];
    const foot = evaluation ? [] : [this.events.element];
    const hint = evaluation ? null : firstHint(this.trans);
    if (hint) {
      this.bar.element.append(hint);
    }
    this.bar.element.hidden = true;
    if (evaluation) {
      this.controls.element.hidden = true;
    }
    this.root.append(...head, ...numbers, this.empty.element, ...charts, ...foot);
    this.root.append(this.table.element, this.whereabouts.element, this.keys.help);
    setAttribute(this.root, 'data-theme', this.theme.dark ? 'dark' : 'light');
    host.append(this.root);
  }

  private watch(): () => void {
    const stopTheme = watchTheme(() => {
      this.theme = readTheme(this.root);
      setAttribute(this.root, 'data-theme', this.theme.dark ? 'dark' : 'light');
      this.redrawAll();
    });
    const seen = new IntersectionObserver(entries => this.feed.setSeen(entries[entries.length - 1].isIntersecting));
    seen.observe(this.root);
    const resized = new ResizeObserver(() => this.resized());
    resized.observe(this.root);
    return () => {
      stopTheme();
      seen.disconnect();
      resized.disconnect();
    };
  }

  private arrived(packet: Packet): { state: RunState; news: boolean } {
    const change = this.store.merge(packet);
    const training = this.options.kind !== 'evaluation';
    const status = statusOf(packet.header.status, this.store.events, this.store.series.values(), training);
    const series = training ? [...this.store.series.values()] : [];
    const now = Date.now();
    this.shown = status;
    this.statusLine.showConnection('');
    this.eta.follow(status, now);
    this.controls.follow(change.events);
    this.controls.show(status, now);
    this.statusLine.show(status, this.eta.wait(now), this.controls.asked);
    this.machine.show(status);
    this.headline.show(status, series, this.store.axis);
    this.table.show(status, series);
    this.empty.show(status, this.store.series.size > 0);
    const over = ENDED.includes(status.state);
    this.whereabouts.show(this.options.directory || packet.header.name, over);
    setAttribute(this.root, 'aria-label', say(this.trans, 'Run %1', packet.header.name));
    if (change.events.length) {
      this.events.show(this.store.events);
      this.marks = eventMarks(this.store.events, this.store.axis, this.trans);
    }
    this.showCharts(status, change);
    if (over && !this.ended) {
      this.ended = true;
      this.options.onEnded?.({ ...packet.header, status });
    }
    return { state: status.state, news: change.series.size > 0 || change.events.length > 0 };
  }

  private async command(source: RunSource, name: CommandName, args?: Record<string, unknown>): Promise<void> {
    await source.command(name, args);
    this.feed.hurry();
  }

  private failed(error: unknown, since: number | null): void {
    const message = error instanceof Error ? error.message : String(error);
    const words =
      since === null
        ? say(this.trans, '%1. Trying again…', message)
        : say(this.trans, 'as of %1, reconnecting…', clock(since));
    this.statusLine.showConnection(words);
  }

  private asked(): void {
    if (this.shown) {
      this.statusLine.show(this.shown, this.eta.wait(Date.now()), this.controls.asked);
    }
  }

  private showCharts(status: RunStatus, change: Change): void {
    if (this.options.kind === 'evaluation') {
      return;
    }
    if (change.shape) {
      this.arrange();
    }
    this.view.follow(this.width, Date.now());
    if (
      this.view.fit(
        status,
        this.marks.map(({ at }) => at)
      ) ||
      change.events.length > 0
    ) {
      this.redrawAll();
      return;
    }
    for (const chart of this.charts) {
      if (chart.lines.some(({ id }) => change.series.has(id))) {
        this.queue.ask(chart);
      }
    }
  }

  /** Give each family its chart, the first one the full width. */
  private arrange(): void {
    const wanted = families(this.store.series.values());
    const known = new Map(this.charts.map(chart => [chart.key, chart]));
    this.charts = wanted.map(family => {
      const chart = known.get(family.key) ?? this.newChart(family);
      chart.setFamily(family);
      return chart;
    });
    const [first, ...others] = this.charts.map(({ element }) => element);
    place(this.first, first ? [first] : []);
    place(this.others, others);
    this.bar.element.hidden = this.charts.length === 0;
    this.measure();
  }

  private newChart(family: Parameters<Chart['setFamily']>[0]): Chart {
    const acts: ChartActs = {
      zoomed: window => this.zoom(window),
      reset: () => this.resetZoom(),
      pointed: at => this.charts.forEach(other => other !== chart && this.queue.sees(other) && other.follow(at)),
      chosen: () => this.queue.ask(chart)
    };
    const chart: Chart = new Chart(family, acts, this.trans);
    this.queue.add(chart);
    return chart;
  }

  private async draw(chart: Chart): Promise<void> {
    const [width, height] = chart.size;
    if (this.over) {
      return;
    }
    if (width === 0 || height === 0) {
      // JupyterLab takes the page out of the layout while it changes its theme: the chart stays wanted.
      requestAnimationFrame(() => this.queue.ask(chart));
    } else {
      const shown = chart.lines.map(({ id }) => this.view.points(id)).filter((each): each is Series => !!each);
      await chart.draw(this.viewOf(chart, width, height), [...this.marks, ...nonfiniteMarks(shown, this.trans)]);
    }
  }

  private viewOf(chart: Chart, width: number, height: number): View {
    const lines = chart.lines.flatMap(line => {
      const series = this.view.points(line.id);
      return series ? [{ line, series }] : [];
    });
    const { axis, logY, smoothing } = this.bar.settings;
    return { lines, axis, logY, smoothing, x: this.view.range, theme: this.theme, width, height };
  }

  private redrawAll(): void {
    this.charts.forEach(chart => this.queue.ask(chart));
  }

  private setting(what: keyof ChartSettings): void {
    if (what === 'axis') {
      this.store.setAxis(this.bar.settings.axis);
      this.bar.showZoom(false);
      this.marks = eventMarks(this.store.events, this.store.axis, this.trans);
      this.view.forget();
      this.feed.ask();
    } else {
      this.redrawAll();
    }
  }

  private zoom(window: Range): void {
    this.bar.showZoom(true);
    void this.view.zoom(window, this.width);
  }

  private resetZoom(): void {
    this.bar.showZoom(false);
    this.view.reset();
  }

  private resized(): void {
    this.measure();
    this.redrawAll();
  }

  private measure(): void {
    const widest = Math.max(0, ...this.charts.map(chart => chart.size[0]));
    if (widest > 0) {
      this.width = (WIDTHS.find(([limit]) => widest <= limit) as [number, number])[1];
    }
  }

  private keyActs(): ConstructorParameters<typeof Keys>[1] {
    return {
      pause: () => this.controls.togglePause(),
      save: () => void this.controls.ask('save'),
      log: () => this.bar.toggleLog(),
      smooth: way => this.bar.smooth(way),
      reset: () => this.resetZoom(),
      arrow: (area, way) => this.charts.find(({ element }) => element.contains(area))?.step(way)
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
