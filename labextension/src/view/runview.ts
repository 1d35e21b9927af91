/**
 * The part of the run that all charts show: the range of the axis, and the closer look at a window.
 * It must not know the charts themselves.
 */
import { decodePacket } from './packet';
import { Range, runningRange } from './scale';
import type { RunSource, RunStatus } from './source';
import type { RunStore, Series } from './store';

/** A window at the run's growing end is asked for again after so many milliseconds. */
const WINDOW_EVERY = 1000;

export class RunView {
  /** The chosen window, null for the whole run. */
  window: Range | null = null;

  /**
   * @param changed - called when there is something new to draw.
   */
  constructor(
    private readonly store: RunStore,
    private readonly source: RunSource,
    private readonly changed: () => void
  ) {}

  /** What the axis shows. */
  get range(): Range {
    return this.window ?? this.held ?? [0, 1];
  }

  /** The points of a series as they are to be drawn. */
  points(id: number): Series | undefined {
    return (this.window && this.store.window?.get(id)) ?? this.store.series.get(id);
  }

  /**
   * Fit the range to what is known now; whether it has moved.
   *
   * @param status - the run as the display shows it.
   * @param marks - places of marks, which a run that is over may have behind its last point.
   */
  fit(status: RunStatus, marks: number[]): boolean {
    const before = this.held;
    const data = this.extent();
    if (data) {
      data[1] = Math.max(data[1], ...marks);
    }
    const { axis } = this.store;
    if (data) {
      const growing = status.state === 'running' || status.state === 'paused';
      const end = axis === 'step' ? status.planned_steps : axis === 'epoch' ? status.max_epochs : null;
      this.held = runningRange(this.held, data, end, growing);
    }
    return !this.window && (before?.[0] !== this.held?.[0] || before?.[1] !== this.held?.[1]);
  }

  /** Look at a window closely. */
  async zoom(window: Range, width: number): Promise<void> {
    this.window = window;
    this.store.window = null;
    this.changed(); // with the points that are here, until the closer ones come
    await this.load(width);
  }

  reset(): void {
    this.asked += 1; // an answer that is under way is no longer wanted
    this.window = null;
    this.store.window = null;
    this.changed();
  }

  /** Begin again: another axis. */
  forget(): void {
    this.held = null;
    this.reset();
  }

  /** New points have come: those of a window that reaches the run's end have to be asked for again. */
  follow(width: number, now: number): void {
    const end = this.extent()?.[1] ?? -Infinity;
    if (this.window && this.lastEnd <= this.window[1] && end > this.lastEnd && now - this.loadedAt > WINDOW_EVERY) {
      void this.load(width);
    }
  }

  private held: Range | null = null;
  private asked = 0;
  private loadedAt = 0;
  private lastEnd = -Infinity;

  private async load(width: number): Promise<void> {
    const window = this.window as Range;
    const asked = (this.asked += 1);
    this.loadedAt = Date.now();
    this.lastEnd = this.extent()?.[1] ?? -Infinity;
    const { axis, events } = this.store.query(width);
    try {
      const packet = decodePacket(await this.source.packet({ width, axis, events, x0: window[0], x1: window[1] }));
      if (asked === this.asked) {
        this.store.mergeWindow(packet);
        this.changed();
      }
    } catch {
      // The coarser points stay; that the source is away is told by the feed.
    }
  }

  private extent(): Range | null {
    let [low, high] = [Infinity, -Infinity];
    for (const { x, length } of this.store.series.values()) {
      if (length > 0) {
        low = Math.min(low, x[0]);
        high = Math.max(high, x[length - 1]);
      }
    }
    return low <= high ? [low, high] : null;
  }
}
