/**
 * The wait until the end, said only once it can be trusted, and never longer than before without a reason.
 * It must not know how it is shown; times are milliseconds, waits seconds.
 */
import type { RunStatus } from './source';

/** What to say: the wait, and why it has grown if it just has. */
export interface Wait {
  seconds: number;
  /** A reason as a word of `Reason`, empty if the wait has not grown lately. */
  reason: Reason;
}

export type Reason = '' | 'validation' | 'data' | 'slower' | 'plan';

/** Guesses of the end have to agree for this long, within `AGREE` of the wait. */
const WATCH = 3000;
const AGREE = 0.2;
/** A wait that grew by more than this share (and by some seconds) is told. */
const GROWN = 0.2;
const GROWN_SECONDS = 5;
const SAY_FOR = 10_000;

interface Guess {
  at: number;
  seconds: number;
}

export class EtaWatch {
  /** Take note of a status that came at `now` (ms). */
  follow(status: RunStatus, now: number): void {
    if (status.state !== 'running' || status.eta === null) {
      if (status.state !== 'paused') {
        this.forget();
      } else {
        this.guesses = [];
      }
      return;
    }
    this.guesses.push({ at: now, seconds: status.eta });
    while (this.guesses.length > 2 && now - this.guesses[1].at >= WATCH) {
      this.guesses.shift();
    }
    if (this.planned !== null && status.planned_steps !== this.planned && this.shown !== null) {
      this.shown = null; // another plan (more epochs, say): the old wait means nothing any more
      this.because('plan', now);
    }
    this.planned = status.planned_steps;
    this.show(status, now);
  }

  /** The wait to be shown at `now`, null while none can be trusted. */
  wait(now: number): Wait | null {
    if (this.shown === null || !this.guesses.length) {
      return null;
    }
    return { seconds: this.shown, reason: now < this.sayUntil ? this.reason : '' };
  }

  private guesses: Guess[] = [];
  private shown: number | null = null;
  private planned: number | null = null;
  private reason: Reason = '';
  private sayUntil = 0;
  private dataWait = 0;

  private forget(): void {
    this.guesses = [];
    this.shown = null;
    this.planned = null;
  }

  private show(status: RunStatus, now: number): void {
    const newest = status.eta as number;
    if (this.shown === null) {
      if (this.agree(now)) {
        this.shown = newest;
        this.dataWait = status.data_wait;
      }
      return;
    }
    if (newest <= this.shown) {
      this.shown = newest;
      this.dataWait = Math.min(this.dataWait, status.data_wait);
    } else if (newest - this.shown > Math.max(GROWN_SECONDS, GROWN * this.shown)) {
      this.shown = newest;
      this.because(why(status, this.dataWait), now);
      this.dataWait = status.data_wait;
    } // a little longer than before: what is shown stands still until it is true again
  }

  private agree(now: number): boolean {
    if (this.guesses.length < 3 || now - this.guesses[0].at < WATCH) {
      return false;
    }
    const ends = this.guesses.map(({ at, seconds }) => at / 1000 + seconds);
    const left = Math.max(1, this.guesses[this.guesses.length - 1].seconds);
    return Math.max(...ends) - Math.min(...ends) <= AGREE * left;
  }

  private because(reason: Reason, now: number): void {
    this.reason = reason;
    this.sayUntil = now + SAY_FOR;
  }
}

function why(status: RunStatus, dataWaitBefore: number): Reason {
  if (status.stage === 'validate') {
    return 'validation';
  }
  return status.data_wait > dataWaitBefore + 0.05 ? 'data' : 'slower';
}
