/**
 * The buttons that steer a run: Pause or Resume, Stop, Checkpoint, learning rate.
 * It must not know how a request reaches the run: it asks, shows what was asked, and waits for the event that confirms.
 */
import { make, setAttribute, setText } from './elements';
import { RatePopover } from './lrpopover';
import type { RunEvent } from './packet';
import type { CommandName, RunStatus } from './source';
import { pendingWords, rateText, say, Translate, whyInactive } from './words';

export type Command = (name: CommandName, args?: Record<string, unknown>) => Promise<void>;

/** A request that no event has answered for so long is given up. */
const PATIENCE = 15_000;
/** How long a message about a request stays. */
const MESSAGE_FOR = 8_000;

interface Asked {
  name: CommandName;
  since: number;
}

export class Controls {
  readonly element: HTMLElement;

  /**
   * @param command - sends a request; rejects with words for a person.
   * @param changed - called when what is shown elsewhere (the state's word) may have changed.
   * @param scaleOut - opens the dialog about more devices, where there is one.
   */
  constructor(
    private readonly command: Command,
    private readonly trans: Translate,
    private readonly changed: () => void,
    scaleOut?: () => void
  ) {
    this.pause = this.button('pause', () => this.togglePause());
    this.stop = this.button('stop', () => void this.ask('stop'));
    this.save = this.button('save', () => void this.ask('save'));
    this.abort = this.button('abort', () => void this.ask('abort'));
    this.validate = this.button('validate', () => void this.ask('validate'));
    this.scale = this.button('scale-out', () => scaleOut?.());
    this.scale.hidden = !scaleOut;
    this.rates = new RatePopover(trans, value => void this.ask('set_lr', { value }));
    setText(this.label(this.stop), trans('Stop'));
    setText(this.label(this.save), trans('Checkpoint'));
    setText(this.label(this.abort), trans('Stop now'));
    setText(this.label(this.validate), trans('Validate'));
    setText(this.label(this.scale), trans('Scale out…'));
    this.element = make(
      'div.lit-controls',
      { role: 'toolbar', 'aria-label': trans('Steer the run') },
      this.pause,
      this.stop,
      this.abort,
      this.save,
      this.validate,
      this.rates.element,
      this.scale,
      this.message
    );
  }

  /** What was asked for and hasn't taken effect, in words. */
  get asked(): string {
    const first = [...this.waiting.values()].find(
      ({ name }) => name === 'pause' || name === 'resume' || name === 'stop' || name === 'abort'
    );
    return first ? pendingWords(first.name, this.trans) : '';
  }

  show(status: RunStatus, now: number): void {
    this.status = status;
    for (const [name, { since }] of this.waiting) {
      if (now - since > PATIENCE) {
        this.waiting.delete(name);
        this.tell(this.trans('The run has not answered; it may be busy with a long step'), true);
      }
    }
    const paused = status.state === 'paused';
    const why = whyInactive(status, this.trans);
    const t = this.trans;
    setText(this.label(this.pause), paused ? t('Resume') : t('Pause'));
    setAttribute(this.pause, 'data-act', paused ? 'resume' : 'pause');
    this.enable(
      this.pause,
      why,
      paused ? t('Go on (Space)') : t('Wait after this step; memory and variables stay (Space)')
    );
    this.enable(this.stop, why, t('Finish this batch, save a checkpoint and end the run normally'));
    this.enable(this.save, why, t('Write a checkpoint after this step (S)'));
    // Not every run can be asked for these: one that can says so.
    this.abort.hidden = !status.commands?.includes('abort');
    this.validate.hidden = !status.commands?.includes('validate');
    this.enable(this.abort, why, t('End the run in the middle of its step; what is not saved is lost'));
    this.enable(this.validate, why, t('Run the validation after this step'));
    this.enable(this.scale, why, t('Go on with more devices'));
    this.rates.show(status.learning_rate, why);
    for (const [button, names] of this.buttons()) {
      setAttribute(button, 'aria-busy', names.some(name => this.waiting.has(name)) ? 'true' : null);
    }
  }

  /** Take note of what has happened: an event that answers a request ends the wait for it. */
  follow(events: RunEvent[]): void {
    for (const event of events) {
      if (event.event === 'CommandApplied') {
        this.waiting.delete(event.name as CommandName);
      } else if (event.event === 'WarningRaised' && event.kind === 'command-refused') {
        this.waiting.clear();
        this.tell(String(event.message), true);
      } else if (event.event === 'RunEnded') {
        this.waiting.clear();
      }
      if (event.event === 'CommandApplied' && event.name === 'set_lr') {
        this.rates.changed(String(event.detail));
      }
    }
  }

  togglePause(): void {
    void this.ask(this.status?.state === 'paused' ? 'resume' : 'pause');
  }

  /** Ask for something, unless the run can't hear it. */
  async ask(name: CommandName, args: Record<string, unknown> = {}): Promise<void> {
    const why = whyInactive(this.status, this.trans);
    if (why || this.waiting.has(name)) {
      return;
    }
    this.tell('', false);
    this.waiting.set(name, { name, since: Date.now() });
    this.refresh();
    try {
      await this.command(name, args);
      if (name === 'set_lr') {
        this.tell(say(this.trans, 'learning rate → %1 from the next step on', rateText(Number(args.value))), false);
      }
    } catch (error) {
      this.waiting.delete(name);
      this.tell(error instanceof Error ? error.message : String(error), true);
      this.refresh();
    }
  }

  dispose(): void {
    window.clearTimeout(this.timer);
    this.rates.dispose();
  }

  private readonly pause: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly save: HTMLButtonElement;
  private readonly abort: HTMLButtonElement;
  private readonly validate: HTMLButtonElement;
  private readonly scale: HTMLButtonElement;
  private readonly rates: RatePopover;
  private readonly message = make('span.lit-message', { role: 'status' });
  private readonly waiting = new Map<CommandName, Asked>();
  private status: RunStatus | null = null;
  private timer = 0;

  private buttons(): [HTMLButtonElement, CommandName[]][] {
    return [
      [this.pause, ['pause', 'resume']],
      [this.stop, ['stop']],
      [this.save, ['save']],
      [this.abort, ['abort']],
      [this.validate, ['validate']],
      [this.rates.button, ['set_lr']]
    ];
  }

  private refresh(): void {
    if (this.status) {
      this.show(this.status, Date.now());
    }
    this.changed();
  }

  private button(act: string, clicked: () => void): HTMLButtonElement {
    const icon = make('span.lit-icon', { 'aria-hidden': 'true' });
    return make('button.lit-button', { type: 'button', 'data-act': act, click: clicked }, icon, make('span.lit-label'));
  }

  private label(button: HTMLElement): HTMLElement {
    return button.querySelector('.lit-label') as HTMLElement;
  }

  /** A button that can't act stays reachable, and says why. */
  private enable(button: HTMLButtonElement, why: string, words: string): void {
    setAttribute(button, 'aria-disabled', why ? 'true' : null);
    setAttribute(button, 'title', why || words);
  }

  /** Say something beside the buttons for a moment. */
  tell(words: string, wrong: boolean): void {
    window.clearTimeout(this.timer);
    setText(this.message, words);
    this.message.classList.toggle('lit-mod-wrong', wrong);
    if (words) {
      this.timer = window.setTimeout(() => setText(this.message, ''), MESSAGE_FOR);
    }
  }
}
