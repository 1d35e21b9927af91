/**
 * The dashboard of one run: puts its parts together and passes what comes from the source on to them.
 * It must not know the wire or JupyterLab: it is mounted from two doors, a MIME renderer and an anywidget.
 */
import { clock } from '../format';
import { AwayLine } from './away';
import { ChartBar, ChartSettings } from './chartbar';
import { ChartDeck } from './charts';
import { Checkpoint, resumeLine } from './checkpoints';
import { Controls } from './controls';
import { Copied, Copy, toClipboard } from './copying';
import { make, setAttribute } from './elements';
import { EmptyState } from './emptystate';
import { statusOf } from './episode';
import { EtaWatch } from './eta';
import { EventList } from './eventlist';
import { Feed } from './feed';
import { firstHint } from './hint';
import { Keys } from './keys';
import { placing } from './marks';
import { layouts, Seen } from './memory';
import { Headline, MetricsTable, Whereabouts } from './numbers';
import type { Packet, PacketHeader } from './packet';
import { picture } from './picture';
import { RunView } from './runview';
import type { Range } from './scale';
import type { CommandName, RunSource, RunState, RunStatus } from './source';
import { MachineLine, StatusLine } from './statusline';
import { Change, RunStore } from './store';
import { Summary } from './summary';
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
  /** Puts code into a new cell below; where it can't (false), or without it, the code goes to the clipboard. */
  onInsert?: (code: string) => boolean;
  /** Opens the dialog about more devices; without it there is no button. */
  onScaleOut?: () => void;
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
  [Infinity, 1024]
];

/** Show a run inside `host`. */
export function mountDashboard(host: HTMLElement, source: RunSource, options: DashboardOptions = {}): Dashboard {
  return new RunDashboard(host, source, options);
}

class RunDashboard implements Dashboard {
  constructor(
    host: HTMLElement,
    private readonly source: RunSource,
    private readonly options: DashboardOptions
  ) {
    const trans = options.trans ?? ((sentence: string): string => sentence);
    const evaluation = options.kind === 'evaluation';
    this.trans = trans;
    this.view = new RunView(this.store, source, () => this.deck.redrawAll());
    this.statusLine = new StatusLine(trans);
    this.machine = new MachineLine(trans);
    const copy: Copy = (what, asPython) => void this.copy(what, asPython);
    const run = (): string => this.store.run;
    this.headline = new Headline(trans, copy, run);
    this.events = new EventList(trans);
    this.table = new MetricsTable(trans, evaluation, copy, run);
    this.summary = new Summary(trans);
    this.away = new AwayLine(trans, since => this.lead(since));
    this.whereabouts = new Whereabouts(trans, options.onOpenRun);
    this.empty = new EmptyState(trans, !evaluation);
    this.controls = new Controls(
      (name, args) => this.command(source, name, args),
      trans,
      () => this.asked(),
      options.onScaleOut
    );
    this.bar = new ChartBar(
      trans,
      what => this.setting(what),
      () => this.resetZoom(),
      () => this.keys.toggleHelp()
    );
    this.deck = new ChartDeck(this.store, this.view, this.bar.settings, () => this.theme, this.deckActs(copy), trans);
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
    this.stops.forEach(stop => stop());
    this.controls.dispose();
    this.keys.dispose();
    this.deck.dispose();
    this.root.remove();
  }

  toPNG(): Promise<string> {
    // On white, whatever this page looks like: who opens the file later may use any other.
    const theme = plainTheme(this.theme.font);
    return picture(this.deck.panels(theme), theme);
  }

  private readonly trans: Translate;
  private readonly store = new RunStore();
  private readonly eta = new EtaWatch();
  private readonly view: RunView;
  private readonly feed: Feed;
  private readonly deck: ChartDeck;
  private readonly summary: Summary;
  private readonly away: AwayLine;
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
  private readonly stops: (() => void)[] = [];
  private theme: Theme;
  private width = WIDTHS[1][1];
  private shown: RunStatus | null = null;
  private ended = false;
  private over = false;
  private seen = true;
  private notebook = '';

  private build(host: HTMLElement, evaluation: boolean): void {
    const head = [this.statusLine.element, make('div.lit-acts', {}, this.controls.element, this.machine.element)];
    const numbers = evaluation ? [] : [this.headline.element];
    const charts = evaluation ? [] : [this.away.element, this.bar.element, ...this.deck.elements];
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
    this.root.append(this.table.element, this.whereabouts.element, this.summary.element, this.keys.help);
    this.showTheme();
    host.append(this.root);
  }

  private watch(): () => void {
    const stopTheme = watchTheme(() => {
      this.theme = readTheme(this.root);
      this.showTheme();
      this.deck.redrawAll();
    });
    const seen = new IntersectionObserver(entries => {
      this.seen = entries[entries.length - 1].isIntersecting;
      this.feed.setSeen(this.seen);
    });
    seen.observe(this.root);
    const resized = new ResizeObserver(() => this.resized());
    resized.observe(this.root);
    return () => {
      stopTheme();
      seen.disconnect();
      resized.disconnect();
    };
  }

  private showTheme(): void {
    setAttribute(this.root, 'data-theme', this.theme.dark ? 'dark' : 'light');
    setAttribute(this.root, 'data-contrast', this.theme.contrast ? 'more' : null);
  }

  private arrived(packet: Packet): { state: RunState; news: boolean } {
    const change = this.store.merge(packet);
    this.recall(packet.header);
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
    this.machine.show(status, this.source.machine?.() ?? null);
    this.headline.show(status, series, this.store.axis);
    this.table.show(status, series, this.store.axis);
    this.summary.show(status, now);
    this.away.note(packet.header.run, status, this.store.events, this.seen && !document.hidden, now);
    this.empty.show(status, this.store.series.size > 0);
    const over = ENDED.includes(status.state);
    this.whereabouts.show(this.options.directory || packet.header.name, over);
    setAttribute(this.root, 'aria-label', say(this.trans, 'Run %1', packet.header.name));
    if (change.placed) {
      this.events.show(this.store.events);
      this.deck.mark();
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
      this.deck.arrange();
      this.bar.element.hidden = this.deck.isEmpty;
      this.measure();
    }
    this.view.follow(Date.now());
    if (this.view.fit(status, this.deck.places) || change.placed) {
      this.deck.redrawAll();
    } else {
      this.deck.redraw(change.series);
    }
  }

  /** Once it is known which run this is: look at it as its notebook was looked at before. */
  private recall({ notebook, run }: PacketHeader): void {
    if (this.notebook || this.options.kind === 'evaluation') {
      return;
    }
    this.notebook = notebook || run;
    const layout = layouts.read(this.notebook);
    if (layout) {
      this.deck.apply(layout);
      if (this.bar.apply(layout)) {
        this.setting('axis');
      }
    }
  }

  private remember(): void {
    if (this.notebook) {
      const { hidden, folded } = this.deck;
      layouts.write(this.notebook, { ...this.bar.settings, hidden: [...hidden], folded });
    }
  }

  private deckActs(copied: Copy): ConstructorParameters<typeof ChartDeck>[4] {
    return {
      zoomed: window => this.zoom(window),
      reset: () => this.resetZoom(),
      changed: () => this.remember(),
      failed: words => this.statusLine.showConnection(words),
      copied,
      resume: checkpoint => void this.resume(checkpoint)
    };
  }

  private async copy(what: Copied, asPython: boolean): Promise<void> {
    try {
      await toClipboard(asPython ? what.python() : await what.markdown());
      this.controls.tell(asPython ? this.trans('copied as Python') : this.trans('copied as Markdown'), false);
    } catch (error) {
      this.controls.tell(error instanceof Error ? error.message : String(error), true);
    }
  }

  private async resume(checkpoint: Checkpoint): Promise<void> {
    const line = resumeLine(checkpoint);
    this.deck.unpin();
    if (this.options.onInsert?.(line)) {
      this.controls.tell(this.trans('the line that resumes is in a new cell below'), false);
    } else {
      await this.copy({ markdown: () => line, python: () => line }, true);
    }
  }

  /** Show what has happened since somebody was here: from there on the charts' cursor stands, and the list is open. */
  private lead(since: Seen): void {
    this.events.lead(since.events);
    const { events, axis } = this.store;
    const first = events[since.events];
    const at = axis === 'step' ? since.step : first ? placing(axis, events)(first) : null;
    this.deck.point(at);
    this.deck.elements[0].scrollIntoView({ block: 'nearest' });
  }

  private setting(what: keyof ChartSettings): void {
    if (what === 'axis') {
      this.store.setAxis(this.bar.settings.axis);
      this.bar.showZoom(false);
      this.deck.mark();
      this.view.forget();
      this.feed.ask();
    } else {
      this.deck.redrawAll();
    }
    this.remember();
  }

  private zoom(window: Range): void {
    this.bar.showZoom(true);
    this.view.zoom(window);
  }

  private resetZoom(): void {
    this.bar.showZoom(false);
    this.view.reset();
  }

  private resized(): void {
    this.measure();
    this.deck.redrawAll();
  }

  private measure(): void {
    const { widest } = this.deck;
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
      arrow: (area, way) => this.deck.at(area)?.step(way),
      hold: area => this.deck.at(area)?.togglePin(),
      letGo: () => this.deck.unpin()
    };
  }
}
