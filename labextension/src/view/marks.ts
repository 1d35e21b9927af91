/**
 * What happened, as places on the axis: checkpoints, the best of them, acts of persons, changes of the learning rate
 * and of the devices, warnings, non-finite values, the failure.
 * It must not know how a mark is drawn.
 */
import { metric } from '../format';
import { RATE } from './families';
import type { RunEvent } from './packet';
import type { Axis } from './source';
import type { Series } from './store';
import { actWords, checkpointWords, firstLine, rateText, say, Translate } from './words';

export type MarkKind = 'checkpoint' | 'best' | 'act' | 'rate' | 'rescale' | 'warning' | 'nonfinite' | 'failure';

export interface Mark {
  kind: MarkKind;
  at: number;
  /** What and who, one line. */
  words: string;
  /** It belongs to a stretch that was abandoned. */
  abandoned?: boolean;
}

/** Where an event lies on the axis; null if that can't be told. */
export type Place = (event: RunEvent) => number | null;

/** Warnings that another mark, or the person's own act, tells already. */
const TOLD = new Set(['non-finite', 'command-refused']);
/** A schedule that changes the rate more often than this, or by little, is a curve and no list of changes. */
const MOST_RATES = 20;
const RATE_JUMP = 1.2;

/** How to place events along `axis`. */
export function placing(axis: Axis, events: RunEvent[]): Place {
  if (axis === 'time') {
    return event => event.time;
  }
  if (axis === 'epoch') {
    return epochPlacing(events);
  }
  if (axis === 'step') {
    return event => event.step ?? null;
  }
  // Only the server knows: it says so in the events that it sends for this axis.
  return event => (typeof event.at === 'number' ? event.at : null);
}

/** Epochs as fractions between the ends of the epochs before and after; a running one is as long as the last. */
function epochPlacing(events: RunEvent[]): Place {
  const spans = new Map<number, [start: number, length: number]>();
  let length = 0;
  for (const { event, step, epoch } of events) {
    if (step === undefined || epoch === undefined) {
      continue;
    }
    if (event === 'RunStarted' && !spans.has(epoch)) {
      spans.set(epoch, [step, length]);
    } else if (event === 'EpochEnded') {
      const start = spans.get(epoch)?.[0] ?? 0;
      length = Math.max(0, step - start);
      spans.set(epoch, [start, length]);
      spans.set(epoch + 1, [step, length]);
    }
  }
  return ({ step, epoch }) => {
    if (step === undefined || epoch === undefined) {
      return null;
    }
    const [start, span] = spans.get(epoch) ?? [step, 0];
    return epoch + (span > 0 ? Math.min(1, Math.max(0, (step - start) / span)) : 0);
  };
}

/** Marks that every chart shows. */
export function eventMarks(events: RunEvent[], axis: Axis, trans: Translate): Mark[] {
  const place = placing(axis, events);
  const marks: Mark[] = [];
  const back = goneBack(events);
  events.forEach((event, i) => {
    const at = place(event);
    const [kind, words] = markOf(event, trans);
    if (kind && at !== null) {
      marks.push({ kind, at, words, abandoned: (event.step ?? 0) > back[i] });
    }
  });
  // The best is the last of those that were the best when they were saved.
  const bests = marks.filter(({ kind, abandoned }) => kind === 'best' && !abandoned);
  const best = bests[bests.length - 1];
  return marks.map(mark => (mark.kind === 'best' && mark !== best ? { ...mark, kind: 'checkpoint' } : mark));
}

/** For each event the earliest step that a fit went back to after it: what lay behind that step by then is abandoned. */
export function goneBack(events: RunEvent[]): number[] {
  const steps: number[] = [];
  let step = Infinity;
  for (let i = events.length - 1; i >= 0; i--) {
    steps[i] = step;
    if (events[i].event === 'RunStarted' && events[i].stage === 'train') {
      step = Math.min(step, events[i].step ?? 0);
    }
  }
  return steps;
}

function markOf(event: RunEvent, trans: Translate): [MarkKind | null, string] {
  const text = (key: string): string => (typeof event[key] === 'string' ? event[key] : '');
  switch (event.event) {
    case 'CheckpointSaved':
      return [event.best === true ? 'best' : 'checkpoint', checkpointWords(event, trans)];
    case 'CommandApplied': {
      const kind = text('name') === 'scale_out' ? 'rescale' : 'act';
      return [kind, actWords(text('name'), text('who'), text('detail'), trans)];
    }
    case 'Rescaled':
      return ['rescale', text('detail') || trans('the devices have changed')];
    case 'WarningRaised':
      return TOLD.has(text('kind')) ? [null, ''] : ['warning', firstLine(text('message'))];
    case 'RunEnded':
      return text('state') === 'failed' ? ['failure', say(trans, 'failed: %1', firstLine(text('error')))] : [null, ''];
    default:
      return [null, ''];
  }
}

/** Where values of the series stopped being numbers. */
export function nonfiniteMarks(series: Iterable<Series>, trans: Translate): Mark[] {
  const marks: Mark[] = [];
  for (const { name, nonfinite } of series) {
    for (const [at, value] of nonfinite) {
      marks.push({ kind: 'nonfinite', at, words: say(trans, '%1 became %2', name, metric(value)) });
    }
  }
  return marks;
}

/** Where a schedule has changed the learning rate in steps, from the rates that were logged. */
export function rateMarks(series: Iterable<Series>, trans: Translate): Mark[] {
  for (const { name, x, y, length } of series) {
    if (RATE.test(name)) {
      const jumps = jumpsOf(y.subarray(0, length));
      return jumps.map(i => ({
        kind: 'rate',
        at: x[i],
        words: say(trans, '%1 %2 → %3', name, rateText(plain(y[i - 1])), rateText(plain(y[i])))
      }));
    }
  }
  return [];
}

/** Indices at which a rate that else stands still has jumped; none if it moves all the time. */
function jumpsOf(y: Float32Array): number[] {
  const jumps: number[] = [];
  for (let i = 1; i < y.length; i++) {
    if (y[i] === y[i - 1]) {
      continue;
    }
    const ratio = y[i] / y[i - 1];
    jumps.push(i);
    if (jumps.length > MOST_RATES || !(ratio >= RATE_JUMP || ratio <= 1 / RATE_JUMP)) {
      return [];
    }
  }
  return jumps.length * 2 < y.length ? jumps : [];
}

/** The packet's f32 as the decimal number it stands for. */
function plain(value: number): number {
  return Number(value.toPrecision(6));
}
