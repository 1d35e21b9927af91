/**
 * Which execution in a run's directory a display is about: `test` after `fit` goes on in the same directory, and must not
 * change what the display of the fit says.
 * It must not know the display.
 */
import { phaseOf } from './families';
import type { RunEvent } from './packet';
import type { MetricValue, RunState, RunStatus } from './source';

/** What has to be known of a series here. */
interface Logged {
  name: string;
  progBar: boolean;
  last: MetricValue | null;
}

/**
 * The status as a display of this kind has to show it.
 *
 * @param status - where the run stands now.
 * @param events - all that has happened in its directory.
 * @param series - the run's series, for the last numbers of an execution that another one followed.
 * @param training - whether the display is about a fit; else about a validation, test or prediction.
 */
export function statusOf(
  status: RunStatus,
  events: RunEvent[],
  series: Iterable<Logged>,
  training: boolean
): RunStatus {
  const starts = events.map((event, i) => ({ event, i })).filter(({ event }) => event.event === 'RunStarted');
  const ours = starts.filter(({ event }) => (event.stage === 'train') === training);
  const mine = ours[ours.length - 1];
  if (!mine) {
    return status;
  }
  const next = starts[starts.indexOf(mine) + 1]?.i;
  const end = events.slice(mine.i, next).find(({ event }) => event === 'RunEnded');
  if (next === undefined) {
    return training ? status : { ...status, headline: {}, metrics: end ? metricsOf(end) : {} };
  }
  return past(status, mine.event, end, training ? [...series] : []);
}

/** The status at the end of an execution after which another one has begun. */
function past(status: RunStatus, start: RunEvent, end: RunEvent | undefined, series: Logged[]): RunStatus {
  const final = metricsOf(end);
  const headline = series.filter(({ name, progBar }) => progBar && (name in final || phaseOf(name) !== 'test'));
  return {
    ...status,
    // Without an end its process died before the next one began.
    state: (end?.state as RunState | undefined) ?? 'lost',
    stage: String(start.stage),
    step: end?.step ?? start.step ?? 0,
    epoch: end?.epoch ?? start.epoch ?? 0,
    batch: 0,
    batches: null,
    max_epochs: (start.max_epochs as number | null | undefined) ?? null,
    planned_steps: null,
    eta: null,
    rate: 0,
    started: start.time,
    updated: end?.time ?? start.time,
    error: typeof end?.error === 'string' ? end.error : '',
    headline: Object.fromEntries(headline.map(({ name, last }) => [name, final[name] ?? last ?? 'nan'])),
    metrics: final
  };
}

function metricsOf(end: RunEvent | undefined): Record<string, MetricValue> {
  return (end?.metrics ?? {}) as Record<string, MetricValue>;
}
