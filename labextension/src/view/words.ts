/**
 * What the dashboard says: states, events and commands in words, through the reader's own language.
 * It must not know the DOM.
 */
import { basename, metric } from '../format';
import type { RunEvent } from './packet';
import type { Reason } from './eta';
import type { CommandName, RunState, RunStatus } from './source';

/** Translates a sentence; `%1`, `%2` … in it stay as they are. */
export type Translate = (sentence: string) => string;

/** Translate `sentence` and put `values` in the places of `%1`, `%2` … */
export function say(trans: Translate, sentence: string, ...values: (string | number)[]): string {
  return trans(sentence).replace(/%(\d)/g, (place, n: string) => String(values[Number(n) - 1] ?? place));
}

/** The state of a run, with the stage where that says more. */
export function stateWords(status: RunStatus, trans: Translate): string {
  if (status.state === 'running' && hasBegun(status)) {
    const stages: Record<string, string> = {
      train: trans('Training'),
      validate: trans('Validating'),
      sanity_check: trans('Checking'),
      test: trans('Testing'),
      predict: trans('Predicting')
    };
    return stages[status.stage] ?? trans('Running');
  }
  const words: Record<RunState, string> = {
    created: trans('Starting'),
    running: trans('Starting'),
    paused: trans('Paused'),
    finished: trans('Finished'),
    stopped: trans('Stopped'),
    interrupted: trans('Interrupted'),
    failed: trans('Failed'),
    lost: trans('Lost')
  };
  return words[status.state] ?? status.state;
}

/** Whether the first step is done. */
export function hasBegun({ step, batch }: RunStatus): boolean {
  return step > 0 || batch > 0;
}

/** Why the buttons don't work, for a person who points at one. */
export function whyInactive(status: RunStatus | null, trans: Translate): string {
  switch (status?.state) {
    case undefined:
    case 'created':
      return trans('The run has not started yet');
    case 'finished':
      return trans('The run has finished');
    case 'stopped':
      return trans('The run was stopped');
    case 'interrupted':
      return trans('The run was interrupted');
    case 'failed':
      return trans('The run has failed');
    case 'lost':
      return trans('The process of this run is gone');
    default:
      return '';
  }
}

/** What a person is told between a click and its effect. */
export function pendingWords(name: CommandName, trans: Translate): string {
  const words: Record<CommandName, string> = {
    pause: trans('Pausing…'),
    resume: trans('Resuming…'),
    stop: trans('Stopping…'),
    save: trans('Saving…'),
    abort: trans('Stopping now…'),
    validate: trans('Validating…'),
    set_lr: trans('Changing…')
  };
  return words[name];
}

/** Why the wait has grown. */
export function reasonWords(reason: Reason, trans: Translate): string {
  const words: Record<Reason, string> = {
    '': '',
    validation: trans('validation is slower'),
    data: trans('waiting for data'),
    slower: trans('steps are slower'),
    plan: trans('the plan has changed')
  };
  return words[reason];
}

/** An event in words; empty for events that tell a person nothing. */
export function eventWords(event: RunEvent, trans: Translate): string {
  const text = (key: string): string => (typeof event[key] === 'string' ? event[key] : '');
  switch (event.event) {
    case 'RunStarted':
      return startWords(text('stage'), text('device'), trans);
    case 'CheckpointSaved':
      return checkpointWords(event, trans);
    case 'CommandApplied':
      return actWords(text('name'), text('who'), text('detail'), trans);
    case 'WarningRaised':
      return text('message');
    case 'RunEnded':
      return endWords(text('state'), text('error'), trans);
    default:
      return '';
  }
}

function startWords(stage: string, device: string, trans: Translate): string {
  const sentences: Record<string, string> = {
    train: trans('training started on %1'),
    validate: trans('validation started on %1'),
    test: trans('test started on %1'),
    predict: trans('prediction started on %1')
  };
  return say(s => s, sentences[stage] ?? trans('started on %1'), device || '?');
}

/** A checkpoint in words, with its file. */
export function checkpointWords(event: RunEvent, trans: Translate): string {
  const file = basename(typeof event.path === 'string' ? event.path : '');
  return event.best === true
    ? say(trans, 'checkpoint %1 saved, the best so far', file)
    : say(trans, 'checkpoint %1 saved', file);
}

/** A person's act in words: who and what. */
export function actWords(name: string, who: string, detail: string, trans: Translate): string {
  const person = !who || who === 'you' ? trans('you') : who;
  const sentences: Record<string, string> = {
    pause: trans('%1 paused'),
    resume: trans('%1 resumed'),
    stop: trans('%1 stopped the run'),
    save: trans('%1 saved a checkpoint'),
    abort: trans('%1 stopped the run at once'),
    validate: trans('%1 asked for a validation'),
    scale_out: trans('%1 changed the devices: %2'),
    set_lr: trans('%1 set %2')
  };
  return say(s => s, sentences[name] ?? trans('%1 asked for %2'), person, detail || name);
}

function endWords(state: string, error: string, trans: Translate): string {
  const words: Record<string, string> = {
    finished: trans('finished'),
    stopped: trans('stopped'),
    interrupted: trans('interrupted'),
    failed: trans('failed')
  };
  const word = words[state] ?? state;
  return error ? `${word}: ${firstLine(error)}` : word;
}

/** The first line of a longer text. */
export function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}

/** A learning rate as people write one: `0.001`, `5e-4` is written `0.0005`, smaller ones as `3e-5`. */
export function rateText(rate: number | null): string {
  if (rate === null) {
    return '–';
  }
  if (rate === 0 || (rate >= 1e-4 && rate < 1e4)) {
    return String(Number(rate.toPrecision(4)));
  }
  const [digits, power] = rate.toExponential(3).split('e');
  return `${Number(digits)}e${Number(power)}`.replace('e-', 'e−');
}

/** `rate` steps a second, or seconds a step where that is the larger number. */
export function speedText(rate: number, stage: string, trans: Translate): string {
  const steps = stage === 'train';
  if (rate >= 0.95) {
    const number = rate >= 100 ? Math.round(rate).toLocaleString('en') : metric(Number(rate.toPrecision(2)));
    return say(trans, steps ? '%1 steps/s' : '%1 batches/s', number);
  }
  return say(trans, steps ? '%1 s/step' : '%1 s/batch', metric(Number((1 / rate).toPrecision(2))));
}
