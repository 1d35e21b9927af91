/**
 * What stands where the curves will be until there are some.
 * It must not know why there are none: it is told.
 */
import { elapsed } from '../format';
import { make, setText } from './elements';
import type { RunStatus } from './source';
import { hasBegun, say, Translate } from './words';

export class EmptyState {
  readonly element: HTMLElement;

  /**
   * @param axes - whether empty axes are drawn: a place is kept for curves.
   */
  constructor(
    private readonly trans: Translate,
    axes: boolean
  ) {
    this.element = make('div.lit-empty', { class: axes ? 'lit-empty lit-mod-axes' : 'lit-empty' }, this.words);
    setText(this.words, trans('looking for the run…'));
  }

  show(status: RunStatus, hasSeries: boolean): void {
    const began = hasBegun(status);
    const active = ['created', 'running', 'paused'].includes(status.state);
    this.element.hidden = hasSeries || (began && !this.element.classList.contains('lit-mod-axes'));
    if (this.element.hidden) {
      return;
    }
    if (!active) {
      setText(
        this.words,
        began ? this.trans('nothing was logged in this run') : this.trans('the run ended before its first step')
      );
    } else if (began) {
      setText(this.words, this.trans('nothing has been logged yet'));
    } else {
      setText(this.words, say(this.trans, 'waiting for the first step: loading data %1', elapsed(this.waited(status))));
    }
  }

  private readonly words = make('span.lit-empty-words');
  private readonly since = Date.now();

  /** Seconds since the run began, by the clock of this page if the two don't agree. */
  private waited(status: RunStatus): number {
    const here = (Date.now() - this.since) / 1000;
    const there = status.started > 0 ? Date.now() / 1000 - status.started : here;
    return there >= here && there < 86_400 ? there : here;
  }
}
