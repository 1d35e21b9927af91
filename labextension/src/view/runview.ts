/**
 * The part of the run that all charts show: the range of the axis, and the closer look at what stands still.
 * It must not know the charts themselves.
 *
 * While a run grows, its points come in buckets that are told piece by piece; a bucket may straddle two columns of
 * pixels. What stands still (a window, a run that pauses or is over) is looked at again by the chart's own columns.
 */
import { decodePacket } from './packet';
import { Range, runningRange } from './scale';
import type { RunSource, RunStatus } from './source';
import type { RunStore, Series } from './store';

/** A window at the run's growing end is asked for again after so many milliseconds. */
const WINDOW_EVERY = 1000;
/** As wide as the server answers. */
const COLUMNS: Range = [64, 8192];

/** A closer look at one series. */
interface Closer {
  x: Range;
  columns: number;
  /** Length of the whole series when it was asked for, and for which wave of growth. */
  total: number;
  wave: number;
  series: Series;
}

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

  /** The points of a series as they are to be drawn across `columns` pixels. */
  points(id: number, columns: number): Series | undefined {
    const whole = this.store.series.get(id);
    const closer = this.closer.get(id);
    const fits = closer && same(closer.x, this.range) && (this.window || isOf(closer, whole, columns));
    return fits ? closer.series : whole;
  }

  /** Ask for a closer look at these series, unless it is here, on its way, or not worth it. */
  sharpen(ids: number[], columns: number): void {
    const width = Math.max(COLUMNS[0], Math.min(COLUMNS[1], columns));
    const reduced = ids.filter(id => (this.store.series.get(id)?.stride ?? 1) > 1);
    const missing = reduced.some(id => !this.has(id, columns));
    const key = JSON.stringify([reduced, columns, this.range, this.wave]);
    if (missing && columns > 0 && (this.window || this.resting) && !this.asked.has(key)) {
      this.asked.add(key);
      void this.load(reduced, columns, width, key);
    }
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
    const rested = this.resting;
    this.resting = status.state !== 'running' && status.state !== 'created';
    if (data) {
      data[1] = Math.max(data[1], ...marks);
      const { axis } = this.store;
      const growing = status.state === 'running' || status.state === 'paused';
      const end = axis === 'step' ? status.planned_steps : axis === 'epoch' ? status.max_epochs : null;
      this.held = runningRange(this.held, data, end, growing);
    }
    const moved = !this.window && (before?.[0] !== this.held?.[0] || before?.[1] !== this.held?.[1]);
    return moved || (this.resting && !rested);
  }

  /** Look at a window closely. */
  zoom(window: Range): void {
    this.window = window;
    this.changed(); // with the points that are here, until the closer ones come
  }

  reset(): void {
    this.window = null;
    this.changed();
  }

  /** Begin again: another axis. */
  forget(): void {
    this.held = null;
    this.closer.clear();
    this.forgotten += 1; // an answer that is under way is no longer wanted
    this.reset();
  }

  /** New points have come: those of a window that reaches the run's end have to be asked for again. */
  follow(now: number): void {
    const end = this.extent()?.[1] ?? -Infinity;
    if (this.window && this.lastEnd <= this.window[1] && end > this.lastEnd && now - this.loadedAt > WINDOW_EVERY) {
      this.lastEnd = end;
      this.loadedAt = now;
      this.wave += 1;
      this.changed();
    }
  }

  private held: Range | null = null;
  private resting = false;
  private readonly closer = new Map<number, Closer>();
  private readonly asked = new Set<string>();
  private forgotten = 0;
  private wave = 0;
  private loadedAt = 0;
  private lastEnd = -Infinity;

  private has(id: number, columns: number): boolean {
    const closer = this.closer.get(id);
    if (!closer || !same(closer.x, this.range)) {
      return false;
    }
    return this.window
      ? closer.columns === columns && closer.wave === this.wave
      : isOf(closer, this.store.series.get(id), columns);
  }

  private async load(ids: number[], columns: number, width: number, key: string): Promise<void> {
    const x: Range = [...this.range];
    const { forgotten, wave } = this;
    const totals = new Map(ids.map(id => [id, this.store.series.get(id)?.total ?? 0]));
    const { axis, events } = this.store.query(width);
    const have = ids.map(id => `${id}:1:0`).join(',');
    try {
      const packet = decodePacket(await this.source.packet({ width, axis, have, events, x0: x[0], x1: x[1] }));
      if (forgotten === this.forgotten && same(x, this.range)) {
        for (const series of this.store.closer(packet)) {
          this.closer.set(series.id, { x, columns, total: totals.get(series.id) ?? 0, wave, series });
        }
        this.changed();
      }
    } catch {
      // The coarser points stay; that the source is away is told by the feed.
    } finally {
      this.asked.delete(key);
    }
  }

  private extent(): Range | null {
    let [low, high] = [Infinity, -Infinity];
    for (const { x, length, span, branches } of this.store.series.values()) {
      if (length > 0) {
        low = Math.min(low, x[0], span?.[0] ?? Infinity);
        high = Math.max(high, x[length - 1], span?.[1] ?? -Infinity);
      }
      for (const { x: abandoned } of branches) {
        low = Math.min(low, abandoned[0]);
        high = Math.max(high, abandoned[abandoned.length - 1]);
      }
    }
    return low <= high ? [low, high] : null;
  }
}

function same(a: Range, b: Range): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

/** Whether a closer look is one by these columns, of all that is there now. */
function isOf(closer: Closer, whole: Series | undefined, columns: number): boolean {
  return closer.columns === columns && closer.total === whole?.total;
}
