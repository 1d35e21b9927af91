/**
 * The latest events in words.
 * It must not know the charts that mark the same events.
 */
import { clock } from '../format';
import { make, setText } from './elements';
import type { RunEvent } from './packet';
import { eventWords, say, Translate } from './words';

const SHOWN = 10;

export class EventList {
  readonly element: HTMLDetailsElement;

  constructor(private readonly trans: Translate) {
    this.element = make('details.lit-fold', { hidden: true, toggle: () => this.fill() }, this.summary, this.list);
  }

  /** Show `events`, all that have happened, the latest first. */
  show(events: RunEvent[]): void {
    this.told = events
      .map((event, number) => ({ event, number, words: eventWords(event, this.trans) }))
      .filter(({ words }) => words);
    this.element.hidden = this.told.length === 0;
    const newest = this.told[this.told.length - 1];
    setText(this.title, say(this.trans, 'Events (%1)', this.told.length));
    setText(this.newest, newest ? `${clock(newest.event.time * 1000)} · ${newest.words}` : '');
    this.fill();
  }

  /** Open the list and point out what has happened from event number `first` on. */
  lead(first: number): void {
    this.unseen = first;
    this.element.open = true;
    this.fill();
  }

  private unseen = Infinity;
  private readonly title = make('span');
  private readonly newest = make('span.lit-newest');
  private readonly summary = make('summary', {}, this.title, this.newest);
  private readonly list = make('ol.lit-events', { reversed: true });
  private told: { event: RunEvent; number: number; words: string }[] = [];

  private fill(): void {
    if (!this.element.open) {
      return;
    }
    const latest = this.told.slice(-SHOWN).reverse();
    this.list.replaceChildren(
      ...latest.map(({ event, number, words }) => {
        const time = make('time', { datetime: new Date(event.time * 1000).toISOString() }, clock(event.time * 1000));
        const step = event.step
          ? make('span.lit-event-step', {}, say(this.trans, 'step %1', event.step.toLocaleString('en')))
          : null;
        const look = number >= this.unseen ? 'lit-mod-unseen' : '';
        return make(
          'li',
          { 'data-event': event.event, class: look },
          time,
          make('span.lit-event-words', {}, words),
          step
        );
      })
    );
  }
}
