/**
 * The learning-rate button and what it opens: a field, quick choices, and the way back.
 * It must not know the run: it reports the chosen number.
 */
import { make, setAttribute, setText } from './elements';
import { rateText, say, Translate } from './words';

const CHOICES: [string, number][] = [
  ['×½', 1 / 2],
  ['÷10', 1 / 10],
  ['×2', 2]
];

export class RatePopover {
  readonly element: HTMLElement;
  readonly button: HTMLButtonElement;

  constructor(
    private readonly trans: Translate,
    private readonly chosen: (value: number) => void
  ) {
    this.button = make(
      'button.lit-button',
      {
        type: 'button',
        'data-act': 'lr',
        'aria-haspopup': 'dialog',
        'aria-expanded': 'false',
        click: () => this.toggle()
      },
      make('span.lit-label', {}, make('span.lit-button-quiet', {}, 'lr '), this.value),
      make('span.lit-icon.lit-mod-down', { 'aria-hidden': 'true' })
    );
    this.field = make('input.lit-field', {
      type: 'text',
      inputmode: 'decimal',
      spellcheck: 'false',
      autocomplete: 'off',
      'aria-label': trans('New learning rate'),
      input: () => this.check()
    });
    const apply = make('button.lit-button.lit-mod-main', { type: 'submit' }, trans('Apply'));
    this.form = make(
      'form.lit-popover',
      {
        role: 'dialog',
        'aria-label': trans('Change the learning rate'),
        hidden: true,
        submit: (event: Event) => this.submit(event),
        keydown: (event: KeyboardEvent) => this.keyed(event)
      },
      make('div.lit-popover-title', {}, trans('Learning rate')),
      make('div.lit-popover-row', {}, this.field, apply),
      make('div.lit-popover-row', {}, ...CHOICES.map(([label, factor]) => this.choice(label, factor)), this.back),
      this.fault
    );
    this.back.addEventListener('click', () => this.before !== null && this.choose(this.before));
    this.element = make('div.lit-rate', {}, this.button, this.form);
    document.addEventListener('pointerdown', this.outside, true);
  }

  /** Show the rate in use; `why` it can't be changed, empty if it can. */
  show(rate: number | null, why: string): void {
    this.rate = rate;
    this.why = why || (rate === null ? this.trans('This run has no optimizer whose rate could be changed') : '');
    if (rate !== null || !this.value.textContent) {
      setText(this.value, rateText(rate)); // the last one of a run that is over stays
    }
    setAttribute(this.button, 'aria-disabled', this.why ? 'true' : null);
    setAttribute(this.button, 'title', this.why || this.trans('Change the learning rate from the next step on'));
    if (this.why) {
      this.close(false);
    }
  }

  /** A change took effect; `detail` says `lr old → new`. */
  changed(detail: string): void {
    const before = Number(/lr ([\d.e+-]+) →/.exec(detail)?.[1]);
    this.before = Number.isFinite(before) ? before : this.before;
  }

  dispose(): void {
    document.removeEventListener('pointerdown', this.outside, true);
  }

  private readonly value = make('span.lit-rate-value');
  private readonly field: HTMLInputElement;
  private readonly form: HTMLFormElement;
  private readonly back = make('button.lit-button', { type: 'button' });
  private readonly fault = make('div.lit-popover-fault', { role: 'alert' });
  private rate: number | null = null;
  private before: number | null = null;
  private why = '';

  private choice(label: string, factor: number): HTMLButtonElement {
    const click = (): void => {
      if (this.rate !== null) {
        this.choose(Number((this.rate * factor).toPrecision(6)));
      }
    };
    return make('button.lit-button', { type: 'button', click }, label);
  }

  private toggle(): void {
    if (!this.form.hidden) {
      this.close(true);
    } else if (!this.why) {
      this.form.hidden = false;
      setAttribute(this.button, 'aria-expanded', 'true');
      this.field.value = rateText(this.rate).replace('−', '-');
      this.back.hidden = this.before === null || this.before === this.rate;
      setText(this.back, say(this.trans, 'back to %1', rateText(this.before)));
      setText(this.fault, '');
      this.field.focus();
      this.field.select();
    }
  }

  private close(refocus: boolean): void {
    if (!this.form.hidden) {
      this.form.hidden = true;
      setAttribute(this.button, 'aria-expanded', 'false');
      if (refocus) {
        this.button.focus();
      }
    }
  }

  private readonly outside = (event: Event): void => {
    if (!event.composedPath().includes(this.element)) {
      this.close(false);
    }
  };

  private check(): number | null {
    const text = this.field.value.trim().replace(',', '.').replace('−', '-');
    const value = Number(text);
    const good = text !== '' && Number.isFinite(value) && value >= 0;
    setText(this.fault, good ? '' : this.trans('A number ≥ 0, for example 0.001 or 1e-3'));
    setAttribute(this.field, 'aria-invalid', good ? null : 'true');
    return good ? value : null;
  }

  private submit(event: Event): void {
    event.preventDefault();
    const value = this.check();
    if (value !== null) {
      this.choose(value);
    }
  }

  private choose(value: number): void {
    this.close(true);
    this.chosen(value);
  }

  private keyed(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      event.preventDefault();
      this.close(true);
    }
    // Keys typed here mean nothing to the dashboard or the notebook around it.
    event.stopPropagation();
  }
}
