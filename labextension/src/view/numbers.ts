/**
 * The run's numbers in words: the headline ones with their best, and the folded table of all.
 * It must not know charts.
 */
import { metric } from '../format';
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

  constructor(private readonly trans: Translate) {
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
    this.element.append(make('div.lit-number', {}, label, make('span.lit-number-line', {}, card.value, card.best)));
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

  constructor(
    private readonly trans: Translate,
    open: boolean
  ) {
    const heads = [trans('metric'), trans('last'), trans('smallest'), trans('largest'), trans('points')];
    const head = make('tr', {}, ...heads.map(word => make('th', { scope: 'col' }, word)));
    const table = make('table.lit-table', {}, make('thead', {}, head), this.body);
    this.summary = make('summary', {}, trans('Metrics'));
    this.element = make(
      'details.lit-fold',
      { open, toggle: () => this.fill() },
      this.summary,
      make('div.lit-scroll', {}, table)
    );
  }

  /** Show all metrics; those without a series (given at the run's end) have a last value only. */
  show(status: RunStatus, series: Iterable<Series>): void {
    this.status = status;
    this.series = [...series];
    const count = new Set([...Object.keys(status.metrics), ...this.series.map(({ name }) => name)]).size;
    setText(this.summary, say(this.trans, 'Metrics (%1)', count));
    this.element.hidden = count === 0;
    this.fill();
  }

  private readonly summary: HTMLElement;
  private readonly body = make('tbody');
  private readonly rows = new Map<string, HTMLElement[]>();
  private status: RunStatus | null = null;
  private series: Series[] = [];

  private fill(): void {
    if (!this.element.open || !this.status) {
      return; // nobody looks
    }
    const known = new Map(this.series.map(each => [each.name, each]));
    for (const name of new Set([...known.keys(), ...Object.keys(this.status.metrics)])) {
      const cells = this.rows.get(name) ?? this.add(name);
      const each = known.get(name);
      const last = this.status.metrics[name] ?? each?.last ?? undefined;
      const texts = [metric(last), spot(each?.min), spot(each?.max), each ? each.total.toLocaleString('en') : ''];
      texts.forEach((text, i) => setText(cells[i], text));
    }
  }

  private add(name: string): HTMLElement[] {
    const cells = [0, 1, 2, 3].map(() => make('td'));
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
