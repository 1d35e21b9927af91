/**
 * What is known of a run so far: packets merged into whole series, the events and the status.
 * It must not know how anything is drawn or fetched.
 */
import type { Packet, RunEvent, SeriesHeader } from './packet';
import type { Axis, PacketQuery, RunStatus } from './source';

/** A series as far as it is known: `x` and `y` hold `length` points. */
export interface Series {
  id: number;
  name: string;
  progBar: boolean;
  span: [number, number] | null;
  stride: number;
  total: number;
  last: SeriesHeader['last'];
  min: SeriesHeader['min'];
  max: SeriesHeader['max'];
  nonfinite: SeriesHeader['nonfinite'];
  x: Float64Array;
  y: Float32Array;
  length: number;
  /** What was abandoned when the run went back, oldest first. */
  branches: Branch[];
}

/** An abandoned stretch; it begins at the last point of the curve that stayed. */
export interface Branch {
  x: Float64Array;
  y: Float32Array;
}

/** What a packet changed. */
export interface Change {
  /** Ids of series with new points. */
  series: Set<number>;
  /** A series is here for the first time. */
  shape: boolean;
  events: RunEvent[];
  /** The events are others than before, or lie elsewhere. */
  placed: boolean;
}

export class RunStore {
  readonly series = new Map<number, Series>();
  readonly events: RunEvent[] = [];
  status: RunStatus | null = null;
  run = '';
  name = '';
  axis: Axis = 'step';

  /** What to ask for to get all that is new. */
  query(width: number): PacketQuery {
    const have = [...this.series.values()].map(holding).join(',');
    return { width, axis: this.axis, have, events: this.eventsKnown };
  }

  /** Look along another axis: the points have to be asked for again, everything else stays. */
  setAxis(axis: Axis): void {
    if (axis !== this.axis) {
      this.axis = axis;
      this.eventsKnown = 0; // some axes place the events too
      for (const series of this.series.values()) {
        series.length = 0;
        series.total = 0;
        series.span = null;
        series.branches = [];
      }
    }
  }

  /** Merge an answer to `query`. */
  merge({ header, points }: Packet): Change {
    const change: Change = { series: new Set(), shape: false, events: [], placed: false };
    if (header.axis !== this.axis) {
      return change; // the answer to a question of before the axis was changed
    }
    this.status = header.status;
    this.run = header.run;
    this.name = header.name;
    change.placed = header.events_next !== this.eventsKnown;
    change.events = this.mergeEvents(header.events, header.events_next);
    header.series.forEach((head, i) => {
      let series = this.series.get(head.id);
      if (!series) {
        series = emptySeries(head);
        this.series.set(head.id, series);
        change.shape = true;
      }
      if (append(series, head, points[i].x, points[i].y)) {
        change.series.add(head.id);
      }
    });
    header.branches?.forEach((branch, i) => {
      const series = this.series.get(branch.series);
      if (series) {
        series.branches[branch.number] = points[header.series.length + i];
        change.series.add(branch.series);
      }
    });
    return change;
  }

  /** The series in the answer to a question for a window; last, best and branches are the run's, whatever part it is. */
  closer({ header, points }: Packet): Series[] {
    if (header.axis !== this.axis) {
      return [];
    }
    return header.series.map((head, i) => {
      const series = emptySeries(head);
      append(series, head, points[i].x, points[i].y);
      const { last, min, max, branches } = this.series.get(head.id) ?? series;
      return Object.assign(series, { last, min, max, branches });
    });
  }

  private eventsKnown = 0;

  private mergeEvents(events: RunEvent[], next: number): RunEvent[] {
    if (next === this.eventsKnown) {
      return [];
    }
    const before = this.events.length;
    const again = this.eventsKnown === 0 && before > 0 && next >= before;
    if (next < this.eventsKnown || again) {
      // The log was replaced, or was asked for anew: what came is all there is.
      this.events.length = 0;
    }
    this.eventsKnown = next;
    this.events.push(...events);
    return again ? events.slice(before) : events;
  }
}

function emptySeries(head: SeriesHeader): Series {
  return {
    id: head.id,
    name: head.name,
    progBar: head.prog_bar,
    span: null,
    stride: head.stride,
    total: 0,
    last: null,
    min: null,
    max: null,
    nonfinite: [],
    x: new Float64Array(0),
    y: new Float32Array(0),
    length: 0,
    branches: []
  };
}

/** What is held of a series, as a question says it. */
function holding({ id, stride, length, branches }: Series): string {
  const held = `${id}:${stride}:${stride === 1 ? length : length / 2}`;
  return branches.length ? `${held}:${branches.length}` : held;
}

/** Drop the points from bucket `start` on and append; whether anything is different now. */
function append(series: Series, head: SeriesHeader, x: Float64Array, y: Float32Array): boolean {
  const keep = Math.min(series.length, head.start * (head.stride === 1 ? 1 : 2));
  const length = keep + x.length;
  // The bucket that may have grown is sent each time, whether it has or not.
  const changed = head.total !== series.total || length !== series.length || differs(series, keep, x, y);
  series.total = head.total;
  series.stride = head.stride;
  series.last = head.last;
  series.span = head.span ?? null;
  series.min = head.min;
  series.max = head.max;
  series.nonfinite = head.nonfinite;
  if (length > series.x.length) {
    const room = Math.max(64, length * 2);
    const [oldX, oldY] = [series.x, series.y];
    series.x = new Float64Array(room);
    series.y = new Float32Array(room);
    series.x.set(oldX.subarray(0, keep));
    series.y.set(oldY.subarray(0, keep));
  }
  series.x.set(x, keep);
  series.y.set(y, keep);
  series.length = length;
  return changed;
}

function differs(series: Series, keep: number, x: Float64Array, y: Float32Array): boolean {
  return x.some((at, i) => at !== series.x[keep + i] || !Object.is(y[i], series.y[keep + i]));
}
