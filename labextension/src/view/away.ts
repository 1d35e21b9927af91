/**
 * The line that tells who comes back what has happened meanwhile, and leads there.
 * It must not know charts or the list of events: it reports where to begin.
 */
import { elapsed } from '../format';
import { make, setText } from './elements';
import { Seen, visits } from './memory';
import type { RunEvent } from './packet';
import type { RunStatus } from './source';
import { say, Translate } from './words';

/** Who was away for less has missed nothing. */
const AWAY = 60_000;
/** What was seen is written down at most so often. */
const WRITE_EVERY = 5_000;

export class AwayLine {
  readonly element: HTMLElement;

  /**
   * @param lead - shows what was not seen yet: everything after this.
   */
  constructor(
    private readonly trans: Translate,
    lead: (since: Seen) => void
  ) {
    const close = make(
      'button.lit-away-close',
      { type: 'button', 'aria-label': trans('Close'), title: trans('Close'), click: () => this.close() },
      '×'
    );
    this.words = make('button.lit-away-words', {
      type: 'button',
      title: trans('Show the first of it'),
      click: () => {
        if (this.since) {
          lead(this.since);
        }
        this.close();
      }
    });
    this.element = make('div.lit-away', { hidden: true, role: 'status' }, this.words, close);
  }

  /**
   * Take note of how far the run is.
   *
   * @param visible - whether somebody may be looking.
   */
  note(run: string, status: RunStatus, events: RunEvent[], visible: boolean, now: number): void {
    if (!visible) {
      return;
    }
    this.seen ??= visits.read(run);
    const before = this.seen;
    if (before && now - before.time > AWAY && (status.step > before.step || events.length > before.events)) {
      this.since = before;
      setText(this.words, this.tell(before, status, events, now));
      this.element.hidden = false;
    }
    this.seen = { time: now, step: status.step, epoch: status.epoch, events: events.length };
    if (now - this.written > WRITE_EVERY) {
      this.written = now;
      visits.write(run, this.seen);
    }
  }

  private readonly words: HTMLElement;
  private seen: Seen | null = null;
  private since: Seen | null = null;
  private written = 0;

  private close(): void {
    this.element.hidden = true;
    this.since = null;
  }

  private tell(before: Seen, status: RunStatus, events: RunEvent[], now: number): string {
    const { trans } = this;
    const fresh = events.slice(before.events);
    const count = (kind: string): number => fresh.filter(({ event }) => event === kind).length;
    const epochs = Math.max(0, status.epoch - before.epoch);
    const steps = Math.max(0, status.step - before.step);
    const parts = [
      epochs
        ? many(epochs, trans('1 epoch'), trans('%1 epochs'))
        : steps
          ? many(steps, trans('1 step'), trans('%1 steps'))
          : '',
      many(count('CheckpointSaved'), trans('1 checkpoint'), trans('%1 checkpoints')),
      many(count('WarningRaised'), trans('1 warning'), trans('%1 warnings')),
      count('RunEnded') ? trans('the run has ended') : ''
    ].filter(Boolean);
    return say(trans, 'While you were away (%1): %2', elapsed((now - before.time) / 1000), parts.join(', ') || '–');
  }
}

function many(n: number, one: string, more: string): string {
  return n === 0 ? '' : n === 1 ? one : more.replace('%1', n.toLocaleString('en'));
}
