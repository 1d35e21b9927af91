/**
 * The run's numbers in words: the headline ones with their best, and the folded table of all.
 * It must not know charts.
 */
import { metric } from '../format';
import { Copied, Copy, copyButton, markdownTable, pythonOfNumber, pythonOfTable } from './copying';
import { make, setAttribute, setText } from './elements';
import { direction } from './families';
import { bestOf } from './overlay';
import { placeText } from './scale';
import type { Axis, MetricValue, RunStatus } from './source';
import type { Series } from './store';
import { say, Translate } from './words';

/** More headline numbers than this would be no headline. */
const MOST = 6;

export class Headline {
  readonly element: HTMLElement;

  /**
   * @param run - the run's id, for the Python that a number copies as.
   */
  constructor(
    private readonly trans: Translate,
    private readonly copy: Copy,
    private readonly run: () => string
  ) {
    this.element = make('div.lit-headline', { role: 'group', 'aria-label': trans('Headline numbers') });
  }

  /** Show what was logged for the progress bar; what its name says is better or worse gets its best. */
  show(status: RunStatus, series: Iterable<Series>, axis: Axis): void {
    const known = new Map([...series].map(each => [each.name, each]));
    const names = Object.keys(status.headline).slice(0, MOST);
    for (const name of names) {
      const card = this.cards.get(name) ?? this.add(name);
      this.fill(card, status.headline[name], known.get(name), axis);
    }
    this.element.hidden = names.length === 0;
  }

  private readonly cards = new Map<string, { value: HTMLElement; best: HTMLElement }>();

  private add(name: string): { value: HTMLElement; best: HTMLElement } {
    const arrow = ['↓', '', '↑'][direction(name) + 1];
    const words = arrow === '↓' ? this.trans('lower is better') : this.trans('higher is better');
    const card = { value: make('span.lit-number-value'), best: make('span.lit-number-best') };
    const label = make(
      'span.lit-number-name',
      {},
      name,
      arrow && make('span.lit-way', { title: words, 'aria-label': words }, ` ${arrow}`)
    );
    const what: Copied = {
      markdown: () => [`**${name}** ${card.value.textContent}`, card.best.textContent].filter(Boolean).join(', '),
      python: () => pythonOfNumber(this.run(), name, direction(name))
    };
    const head = make('span.lit-number-head', {}, label, copyButton(this.copy, what, name, this.trans));
    this.element.append(make('div.lit-number', {}, head, make('span.lit-number-line', {}, card.value, card.best)));
    this.cards.set(name, card);
    return card;
  }

  private fill(
    card: { value: HTMLElement; best: HTMLElement },
    value: MetricValue,
    series: Series | undefined,
    axis: Axis
  ): void {
    setText(card.value, metric(value));
    card.value.classList.toggle('lit-mod-wrong', typeof value === 'string');
    const best = series && series.total > 1 ? bestOf(series) : null;
    const isBest =
      best !== null && typeof value === 'number' && Math.abs(best[1] - value) < 1e-12 + Math.abs(value) * 1e-6;
    const place = best
      ? axis === 'epoch'
        ? say(this.trans, 'epoch %1', placeText(axis, best[0]))
        : placeText(axis, best[0])
      : '';
    setText(
      card.best,
      !best ? '' : isBest ? this.trans('best so far') : say(this.trans, 'best %1 @ %2', metric(best[1]), place)
    );
    card.best.classList.toggle('lit-mod-best', isBest);
  }
}

export class MetricsTable {
  readonly element: HTMLDetailsElement;

  /**
   * @param run - the run's id, for the Python that the table copies as.
   */
  constructor(
    private readonly trans: Translate,
    open: boolean,
    copy: Copy,
    run: () => string
  ) {
    this.heads = [
      trans('metric'),
      trans('last'),
      trans('best'),
      trans('at'),
      trans('smallest'),
      trans('largest'),
      trans('points')
    ];
    const head = make('tr', {}, ...this.heads.map(word => make('th', { scope: 'col' }, word)));
    const table = make('table.lit-table', {}, make('thead', {}, head), this.body);
    const what: Copied = {
      markdown: () => `${markdownTable(this.texts())}\n`,
      python: () => pythonOfTable(run())
    };
    this.summary = make('summary', {}, trans('Metrics'));
    this.element = make(
      'details.lit-fold',
      { open, toggle: () => this.fill() },
      this.summary,
      copyButton(copy, what, trans('Metrics'), trans),
      // What can be scrolled can have the focus, else no key would reach its end.
      make('div.lit-scroll', { tabindex: 0, role: 'group', 'aria-label': trans('Metrics') }, table)
    );
  }

  /** Show all metrics; those without a series (given at the run's end) have a last value only. */
  show(status: RunStatus, series: Iterable<Series>, axis: Axis): void {
    this.status = status;
    this.axis = axis;
    this.series = [...series];
    const count = new Set([...Object.keys(status.metrics), ...this.series.map(({ name }) => name)]).size;
    setText(this.summary, say(this.trans, 'Metrics (%1)', count));
    this.element.hidden = count === 0;
    this.fill();
  }

  private readonly heads: string[];
  private readonly summary: HTMLElement;
  private readonly body = make('tbody');
  private readonly rows = new Map<string, HTMLElement[]>();
  private status: RunStatus | null = null;
  private axis: Axis = 'step';
  private series: Series[] = [];

  private fill(): void {
    if (!this.element.open) {
      return; // nobody looks
    }
    for (const [name, ...texts] of this.texts().slice(1)) {
      const cells = this.rows.get(name) ?? this.add(name);
      texts.forEach((text, i) => setText(cells[i], text));
    }
  }

  /** What the table says, its head first. */
  private texts(): string[][] {
    const metrics = this.status?.metrics ?? {};
    const known = new Map(this.series.map(each => [each.name, each]));
    const names = [...new Set([...known.keys(), ...Object.keys(metrics)])];
    const rows = names.map(name => {
      const each = known.get(name);
      const best = each ? bestOf(each) : null;
      return [
        name,
        metric(metrics[name] ?? each?.last ?? undefined),
        best ? metric(best[1]) : '',
        best ? placeText(this.axis, best[0]) : '',
        spot(each?.min),
        spot(each?.max),
        each ? each.total.toLocaleString('en') : ''
      ];
    });
    return [this.heads, ...rows];
  }

  private add(name: string): HTMLElement[] {
    const cells = this.heads.slice(1).map(() => make('td'));
    this.body.append(make('tr', {}, make('th', { scope: 'row' }, name), ...cells));
    this.rows.set(name, cells);
    return cells;
  }
}

function spot(point: Series['min'] | undefined): string {
  return point ? metric(point[1]) : '';
}

/** Where the run lies on disk. */
export class Whereabouts {
  readonly element: HTMLElement;

  constructor(
    private readonly trans: Translate,
    open: (() => void) | undefined
  ) {
    this.path = open
      ? make('button.lit-path', { type: 'button', title: trans('Show the run’s files'), click: open })
      : make('span.lit-path');
    this.element = make('div.lit-whereabouts', { hidden: true }, this.words, this.path);
  }

  show(directory: string, over: boolean): void {
    this.element.hidden = !directory;
    setText(this.words, over ? this.trans('saved to ') : this.trans('saving to '));
    setText(this.path, directory);
    setAttribute(this.path, 'data-path', directory);
  }

  private readonly words = make('span');
  private readonly path: HTMLElement;
}
