/**
 * The head of the dashboard: state, place in the plan, speed, wait, progress, and what the machine does.
 * It must not know where the status comes from.
 */
import { bytesOf, elapsed, percent, progress, roughly } from '../format';
import { make, setAttribute, setText } from './elements';
import type { Wait } from './eta';
import type { Machine, RunStatus } from './source';
import { hasBegun, reasonWords, say, speedText, stateWords, Translate } from './words';

export class StatusLine {
  readonly element: HTMLElement;

  constructor(private readonly trans: Translate) {
    this.bar.append(this.fill);
    this.element = make(
      'div.lit-status',
      {},
      make('div.lit-status-line', {}, this.state, this.place, this.step, this.speed, this.left, this.connection),
      this.bar,
      this.error
    );
  }

  /**
   * Show a status.
   *
   * @param wait - the wait until the end, null while it can't be told.
   * @param asked - what was asked for and hasn't taken effect, in words; empty if nothing was.
   */
  show(status: RunStatus, wait: Wait | null, asked: string): void {
    const { trans } = this;
    setAttribute(this.element, 'data-state', status.state);
    const state = asked || stateWords(status, trans);
    setText(this.word, state);
    setText(this.place, placeWords(status, trans));
    setText(this.step, hasBegun(status) ? stepWords(status, trans) : '');
    setText(
      this.speed,
      status.state === 'running' && status.rate > 0 ? speedText(status.rate, status.stage, trans) : ''
    );
    setText(this.left, leftWords(status, wait, trans));
    this.showProgress(status);
    const gone = this.trans('The process of this run is gone. Its record and its checkpoints are still here.');
    const error = status.error || (status.state === 'lost' ? gone : '');
    this.error.hidden = !error;
    setText(this.error, error);
  }

  /** Say that the run can't be reached; empty: it can. */
  showConnection(words: string): void {
    setText(this.connection, words);
    this.connection.hidden = !words;
  }

  private readonly word = make('span.lit-state-word');
  private readonly state = make('span.lit-state', {}, make('span.lit-dot', { 'aria-hidden': 'true' }), this.word);
  private readonly place = make('span.lit-place');
  private readonly step = make('span.lit-step');
  private readonly speed = make('span.lit-speed');
  private readonly left = make('span.lit-left');
  private readonly connection = make('span.lit-connection', { role: 'status', hidden: true });
  private readonly fill = make('div.lit-progress-fill');
  private readonly bar = make('div.lit-progress', {
    role: 'progressbar',
    'aria-valuemin': 0,
    'aria-valuemax': 100
  });
  private readonly error = make('pre.lit-error', { role: 'alert', hidden: true });

  private showProgress(status: RunStatus): void {
    const share = progress(status);
    this.bar.classList.toggle('lit-mod-open', share === null && status.state === 'running');
    this.fill.style.transform = `scaleX(${share ?? (status.state === 'running' ? 1 : 0)})`;
    setAttribute(this.bar, 'aria-label', this.trans('Progress of the run'));
    setAttribute(this.bar, 'aria-valuenow', share === null ? null : String(Math.floor(share * 100)));
    setAttribute(this.bar, 'title', share === null ? this.trans('The length of the run is not known') : percent(share));
  }
}

function placeWords(status: RunStatus, trans: Translate): string {
  const { max_epochs: max, epoch, stage, batch, batches } = status;
  if (stage === 'test' || stage === 'predict') {
    return batches ? say(trans, 'batch %1/%2', batch, batches) : batch ? say(trans, 'batch %1', batch) : '';
  }
  // After the last epoch the counter stands behind it.
  const shown = max !== null && max > 0 ? Math.min(epoch + 1, max) : epoch + 1;
  return max !== null && max > 0 ? say(trans, 'epoch %1/%2', shown, max) : say(trans, 'epoch %1', shown);
}

function stepWords(status: RunStatus, trans: Translate): string {
  if (status.stage === 'test' || status.stage === 'predict') {
    return '';
  }
  const step = status.step.toLocaleString('en');
  return status.planned_steps
    ? say(trans, 'step %1 of %2', step, status.planned_steps.toLocaleString('en'))
    : say(trans, 'step %1', step);
}

function leftWords(status: RunStatus, wait: Wait | null, trans: Translate): string {
  if (status.state === 'running' && wait) {
    const words = say(trans, '%1 left', roughly(wait.seconds));
    return wait.reason ? `${words} (${reasonWords(wait.reason, trans)})` : words;
  }
  const over = !['running', 'paused', 'created'].includes(status.state);
  const took = status.updated - status.started;
  return over && status.started && took >= 1 ? say(trans, 'took %1', elapsed(took)) : '';
}

/** What the machine does: device, its memory and use, waiting for data, samples. */
export class MachineLine {
  readonly element = make('div.lit-machine');

  constructor(private readonly trans: Translate) {
    this.element.append(this.device, this.use, this.wait, this.samples);
  }

  /** Show a status, and the last reading of the machine if there is one. */
  show(status: RunStatus, machine: Machine | null): void {
    const { trans } = this;
    const active = status.state === 'running' || status.state === 'paused';
    setText(this.device, status.device);
    setText(this.use, machine && active ? loadWords(machine, trans) : '');
    const share = status.data_wait;
    setText(this.wait, status.active > 0 ? say(trans, 'data wait %1', percent(share)) : '');
    setAttribute(this.wait, 'title', trans('Share of the time that training has waited for the data loader'));
    this.wait.classList.toggle('lit-mod-high', share >= 0.3 && status.active > 5);
    const perSecond = status.samples_per_second;
    const samples = perSecond >= 10 ? Math.round(perSecond).toLocaleString('en') : perSecond.toFixed(1);
    setText(this.samples, status.state === 'running' && perSecond > 0 ? say(trans, '%1 samples/s', samples) : '');
  }

  private readonly device = make('span');
  private readonly use = make('span', { 'data-part': 'device' });
  private readonly wait = make('span');
  private readonly samples = make('span');
}

/** Memory and use of each accelerator; without one those of the processor. */
function loadWords({ devices, host }: Machine, trans: Translate): string {
  const words = devices
    .filter(({ kind }) => kind !== 'cpu')
    .map(({ index, memory_used: used, memory_total: total, utilization }) => {
      const memory = used !== null && total ? bytesOf(used, total) : '';
      const busy = utilization === null ? '' : percent(utilization / 100);
      return [say(trans, 'GPU %1', index), memory, busy].filter(Boolean).join(' ');
    });
  if (words.length) {
    return words.join(' · ');
  }
  const memory = say(trans, 'memory %1', bytesOf(host.memory_used, host.memory_total));
  return host.cpu_percent === null ? memory : `${say(trans, 'CPU %1', percent(host.cpu_percent / 100))} · ${memory}`;
}
