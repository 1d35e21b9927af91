/**
 * What happened, as places on the axis: checkpoints, acts of persons, non-finite values, the failure.
 * It must not know how a mark is drawn.
 */
import { metric } from '../format';
import type { RunEvent } from './packet';
import type { Axis } from './source';
import type { Series } from './store';
import { actWords, checkpointWords, firstLine, say, Translate } from './words';

export type MarkKind = 'checkpoint' | 'act' | 'nonfinite' | 'failure';

export interface Mark {
  kind: MarkKind;
  at: number;
  /** What and who, one line. */
  words: string;
}

/** Where an event lies on the axis; null if that can't be told. */
export type Place = (event: RunEvent) => number | null;

/** How to place events along `axis`. */
export function placing(axis: Axis, events: RunEvent[]): Place {
  if (axis === 'time') {
    return event => event.time;
  }
  if (axis === 'epoch') {
    return epochPlacing(events);
  }
  return axis === 'step' ? event => event.step ?? null : () => null;
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
  for (const event of events) {
    const at = place(event);
    const [kind, words] = markOf(event, trans);
    if (kind && at !== null) {
      marks.push({ kind, at, words });
    }
  }
  return marks;
}

function markOf(event: RunEvent, trans: Translate): [MarkKind | null, string] {
  const text = (key: string): string => (typeof event[key] === 'string' ? event[key] : '');
  switch (event.event) {
    case 'CheckpointSaved':
      return ['checkpoint', checkpointWords(event, trans)];
    case 'CommandApplied':
      return ['act', actWords(text('name'), text('who'), text('detail'), trans)];
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
