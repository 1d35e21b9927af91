/**
 * How the charts are looked at: axis, smoothing, logarithm, and the way back from a zoom.
 * It must not draw: it holds the settings and says when one has changed.
 */
import { make, setAttribute, setText } from './elements';
import type { Axis } from './source';
import type { Translate } from './words';

/** Settings of all charts. Smoothing starts at 0: it can hide a spike, so it is asked for. */
export interface ChartSettings {
  axis: Axis;
  /** 0 to 0.99. */
  smoothing: number;
  logY: boolean;
}

const SMOOTHING_MAX = 0.99;
const SMOOTHING_STEPS = [0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, SMOOTHING_MAX];

export class ChartBar {
  readonly element: HTMLElement;
  readonly settings: ChartSettings = { axis: 'step', smoothing: 0, logY: false };

  /**
   * @param changed - called after a setting has changed.
   * @param reset - called when the whole run is wanted again.
   * @param help - called when the keys are asked for.
   */
  constructor(
    trans: Translate,
    private readonly changed: (what: keyof ChartSettings) => void,
    reset: () => void,
    help: () => void
  ) {
    const axes: [Axis, string, string][] = [
      ['step', trans('step'), trans('Optimizer steps')],
      ['epoch', trans('epoch'), trans('Epochs')],
      ['time', trans('time'), trans('Wall time')],
      ['active', trans('no pauses'), trans('Time without pauses')],
      ['samples', trans('samples'), trans('Samples seen')]
    ];
    this.axes = axes.map(([axis, word, title]) =>
      make('button.lit-choice', { type: 'button', title, 'data-axis': axis, click: () => this.setAxis(axis) }, word)
    );
    this.slider = make('input.lit-slider', {
      type: 'range',
      min: 0,
      max: SMOOTHING_MAX,
      step: 0.01,
      value: 0,
      'aria-label': trans('Smoothing'),
      input: () => this.setSmoothing(Number(this.slider.value))
    });
    this.log = make(
      'button.lit-choice',
      { type: 'button', title: trans('Logarithmic values (L)'), click: () => this.toggleLog() },
      trans('log y')
    );
    this.back = make(
      'button.lit-choice.lit-mod-back',
      { type: 'button', title: trans('Show the whole run (R, or double click)'), hidden: true, click: reset },
      trans('whole run')
    );
    const keys = make(
      'button.lit-choice.lit-mod-help',
      { type: 'button', title: trans('Keys (?)'), 'aria-label': trans('Keys'), click: help },
      '?'
    );
    const smoothing = make(
      'label.lit-smoothing',
      { title: trans('Running mean; the raw line stays behind it (+ and −)') },
      trans('smoothing'),
      this.slider,
      this.amount
    );
    this.element = make(
      'div.lit-chartbar',
      { role: 'toolbar', 'aria-label': trans('How the charts are shown') },
      make('div.lit-choices', { role: 'group', 'aria-label': trans('Axis along the run') }, ...this.axes),
      smoothing,
      this.log,
      this.back,
      keys
    );
    this.refresh();
  }

  /** Take over settings of an earlier visit; whether the axis is another one now. */
  apply({ axis, smoothing, logY }: ChartSettings): boolean {
    const moved = axis !== this.settings.axis;
    Object.assign(this.settings, { axis, smoothing: Math.min(SMOOTHING_MAX, Math.max(0, smoothing)), logY });
    this.refresh();
    return moved;
  }

  toggleLog(): void {
    this.settings.logY = !this.settings.logY;
    this.refresh();
    this.changed('logY');
  }

  /** One step stronger (1) or weaker (−1). */
  smooth(way: 1 | -1): void {
    const now = this.settings.smoothing;
    const next =
      way > 0 ? SMOOTHING_STEPS.find(s => s > now + 1e-9) : [...SMOOTHING_STEPS].reverse().find(s => s < now - 1e-9);
    if (next !== undefined) {
      this.setSmoothing(next);
    }
  }

  /** Whether a part of the run is shown, which there is a way back from. */
  showZoom(zoomed: boolean): void {
    this.back.hidden = !zoomed;
  }

  private readonly axes: HTMLButtonElement[];
  private readonly slider: HTMLInputElement;
  private readonly amount = make('output.lit-amount');
  private readonly log: HTMLButtonElement;
  private readonly back: HTMLButtonElement;

  private setAxis(axis: Axis): void {
    if (axis !== this.settings.axis) {
      this.settings.axis = axis;
      this.refresh();
      this.changed('axis');
    }
  }

  private setSmoothing(strength: number): void {
    this.settings.smoothing = Math.min(SMOOTHING_MAX, Math.max(0, strength));
    this.refresh();
    this.changed('smoothing');
  }

  private refresh(): void {
    const { axis, smoothing, logY } = this.settings;
    for (const button of this.axes) {
      setAttribute(button, 'aria-pressed', String(button.dataset.axis === axis));
    }
    setAttribute(this.log, 'aria-pressed', String(logY));
    this.slider.value = String(smoothing);
    setText(this.amount, smoothing === 0 ? '0' : smoothing.toFixed(2));
  }
}
