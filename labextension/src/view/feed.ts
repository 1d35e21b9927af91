/**
 * When the source is asked: four times a second while something is seen to move, seldom otherwise, never when hidden.
 * It must not know what is done with the answers.
 */
import { decodePacket, Packet } from './packet';
import type { PacketQuery, RunSource, RunState } from './source';

/** Milliseconds between an answer and the next question. */
export const PACE = {
  hurried: 60,
  active: 250,
  quiet: 1000,
  paused: 1000,
  away: 2000,
  lost: 10_000,
  retry: 500,
  retryMost: 5000
};

/** So long after a request the effect is looked for closely. */
const HURRY_FOR = 2000;
/** An active run that has sent nothing new for so long is asked less often. */
const QUIET_AFTER = 10_000;

export interface FeedActs {
  query(): PacketQuery;
  /** An answer has come; returns the run's state and whether it told anything new. */
  arrived(packet: Packet): { state: RunState; news: boolean };
  /** The source can't be reached; `since` is when the last answer came, null before the first. */
  failed(error: unknown, since: number | null): void;
}

export class Feed {
  constructor(
    private readonly source: RunSource,
    private readonly acts: FeedActs
  ) {
    document.addEventListener('visibilitychange', this.shown);
  }

  /** Ask now, also if the run has ended. */
  ask(): void {
    if (this.over) {
      return;
    }
    window.clearTimeout(this.timer);
    if (this.asking) {
      this.again = true;
    } else {
      void this.once();
    }
  }

  /** Something was asked of the run: look closely for a moment, so that its effect is seen at once. */
  hurry(): void {
    this.hurried = Date.now() + HURRY_FOR;
    this.ask();
  }

  /** Whether the dashboard is on the screen. */
  setSeen(seen: boolean): void {
    const back = seen && !this.seen;
    this.seen = seen;
    if (back && this.started && !this.ended) {
      this.ask();
    }
  }

  dispose(): void {
    this.over = true;
    window.clearTimeout(this.timer);
    this.abort.abort();
    document.removeEventListener('visibilitychange', this.shown);
  }

  private readonly abort = new AbortController();
  private timer = 0;
  private asking = false;
  private again = false;
  private over = false;
  private ended = false;
  private started = false;
  private seen = true;
  private hurried = 0;
  private failures = 0;
  private answered: number | null = null;
  private news = Date.now();

  private readonly shown = (): void => {
    if (!document.hidden && this.started && !this.ended) {
      this.ask();
    }
  };

  private async once(): Promise<void> {
    this.asking = true;
    this.started = true;
    this.again = false;
    let pause: number | null;
    try {
      const packet = decodePacket(await this.source.packet(this.acts.query(), this.abort.signal));
      if (this.over) {
        return;
      }
      pause = this.take(packet);
    } catch (error) {
      if (this.over) {
        return;
      }
      this.acts.failed(error, this.answered);
      pause = Math.min(PACE.retryMost, PACE.retry * 2 ** this.failures);
      this.failures += 1;
    } finally {
      this.asking = false;
    }
    this.rest(pause);
  }

  private take(packet: Packet): number | null {
    this.failures = 0;
    this.answered = Date.now();
    const { state, news } = this.acts.arrived(packet);
    this.news = news ? this.answered : this.news;
    this.ended = !['created', 'running', 'paused', 'lost'].includes(state);
    if (this.ended) {
      return null;
    }
    if (this.answered < this.hurried) {
      return PACE.hurried;
    }
    if (state === 'paused') {
      return PACE.paused;
    }
    if (state === 'lost') {
      return PACE.lost;
    }
    if (!this.seen) {
      return PACE.away;
    }
    return this.answered - this.news > QUIET_AFTER ? PACE.quiet : PACE.active;
  }

  private rest(pause: number | null): void {
    if (this.again) {
      void this.once();
    } else if (pause !== null && !document.hidden) {
      this.timer = window.setTimeout(() => void this.once(), pause);
    }
  }
}
