/**
 * The run in one sentence for who listens instead of looking: "epoch 3 of 10, loss 0.41, falling".
 * It must not say more than a listener can bear: seldom while all goes on as before.
 */
import { metric } from '../format';
import { make, setText } from './elements';
import type { RunStatus } from './source';
import { hasBegun, say, stateWords, Translate } from './words';

const EVERY = 30_000;
/** A new epoch or state is told sooner, but not on the heels of the last sentence. */
const AT_LEAST = 10_000;
/** A smaller change than this share is none. */
const STEADY = 0.01;

export class Summary {
  readonly element = make('div.lit-hidden', { role: 'status', 'aria-live': 'polite', 'data-part': 'summary' });

  constructor(private readonly trans: Translate) {}

  show(status: RunStatus, now: number): void {
    const chapter = `${status.state} ${status.stage} ${status.epoch}`;
    const passed = now - this.told;
    const changed = chapter !== this.chapter;
    const due = status.state === 'running' && hasBegun(status) && passed >= EVERY;
    if ((changed && passed >= AT_LEAST) || due || status.state !== this.state) {
      setText(this.element, this.sentence(status));
      this.told = now;
      this.chapter = chapter;
      this.state = status.state;
      this.values = { ...status.metrics };
    }
  }

  private told = 0;
  private chapter = '';
  private state = '';
  private values: RunStatus['metrics'] = {};

  private sentence(status: RunStatus): string {
    const { trans } = this;
    const parts = [stateWords(status, trans)];
    if (hasBegun(status)) {
      const epoch = status.max_epochs !== null ? Math.min(status.epoch + 1, status.max_epochs) : status.epoch + 1;
      parts.push(
        status.max_epochs !== null && status.max_epochs > 0
          ? say(trans, 'epoch %1 of %2', epoch, status.max_epochs)
          : say(trans, 'epoch %1', epoch)
      );
    }
    const name = Object.keys(status.headline)[0] ?? Object.keys(status.metrics).find(each => /loss/i.test(each));
    if (name !== undefined) {
      const value = status.headline[name] ?? status.metrics[name];
      parts.push(`${name.replace(/[_/]/g, ' ')} ${metric(value)}`, this.trend(this.values[name], value));
    }
    return parts.filter(Boolean).join(', ');
  }

  private trend(before: unknown, now: unknown): string {
    const { trans } = this;
    if (typeof before !== 'number' || typeof now !== 'number') {
      return '';
    }
    const change = (now - before) / (Math.abs(before) || 1);
    return Math.abs(change) < STEADY ? trans('steady') : change < 0 ? trans('falling') : trans('rising');
  }
}
