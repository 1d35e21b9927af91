/**
 * Which execution in a run's directory a display is about: `test` after `fit` goes on in the same directory, and must not
 * change what the display of the fit says.
 * It must not know the display.
 */
import type { RunEvent } from './packet';
import type { MetricValue, RunState, RunStatus } from './source';

/**
 * The status as a display of this kind has to show it.
 *
 * @param status - where the run stands now.
 * @param events - all that has happened in its directory.
 * @param training - whether the display is about a fit; else about a validation, test or prediction.
 */
export function statusOf(status: RunStatus, events: RunEvent[], training: boolean): RunStatus {
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
  return past(status, mine.event, end, training);
}

/** The status at the end of an execution after which another one has begun. */
function past(status: RunStatus, start: RunEvent, end: RunEvent | undefined, training: boolean): RunStatus {
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
    error: String(end?.error ?? ''),
    headline: training ? status.headline : {},
    metrics: training ? status.metrics : metricsOf(end)
  };
}

function metricsOf(end: RunEvent | undefined): Record<string, MetricValue> {
  return (end?.metrics ?? {}) as Record<string, MetricValue>;
}
