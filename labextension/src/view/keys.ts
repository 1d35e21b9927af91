/**
 * The dashboard's keys while it has the focus, and the list of them.
 * It must not claim a key that something inside it needs.
 */
import { make } from './elements';
import type { Translate } from './words';

export interface KeyActs {
  pause(): void;
  save(): void;
  log(): void;
  smooth(way: 1 | -1): void;
  reset(): void;
  /** An arrow key was pressed in a chart. */
  arrow(chart: Element, way: 1 | -1): void;
  /** Enter was pressed in a chart. */
  hold(chart: Element): void;
  /** Escape: let go of what is held; whether there was something. */
  letGo(): boolean;
}

const TEXT_FIELD = 'input:not([type="range"]), textarea';
/** Keys that a button, a fold or a slider needs for itself. */
const OWN_KEYS = new Set([' ', 'Enter', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End']);

export class Keys {
  readonly help: HTMLElement;

  constructor(
    private readonly root: HTMLElement,
    private readonly acts: KeyActs,
    trans: Translate
  ) {
    const list: [string, string][] = [
      [trans('Space'), trans('pause or resume')],
      ['S', trans('save a checkpoint')],
      ['L', trans('logarithmic values')],
      ['+ −', trans('more or less smoothing')],
      ['R', trans('show the whole run')],
      ['← →', trans('move the cursor in a chart')],
      [trans('Enter'), trans('hold the box at the cursor; Esc lets it go')],
      ['O', trans('in a legend: show this line alone')],
      [trans('Shift + click'), trans('copy the Python instead of Markdown')],
      ['?', trans('these keys')]
    ];
    this.help = make(
      'div.lit-keys',
      { role: 'dialog', 'aria-label': trans('Keys'), hidden: true, tabindex: -1 },
      ...list.flatMap(([key, words]) => [make('kbd', {}, key), make('span', {}, words)])
    );
    // On the window and before everything else: JupyterLab listens on the document, where the same letters change cells.
    window.addEventListener('keydown', this.pressed, true);
    root.addEventListener('pointerdown', this.closed);
  }

  /** Open the list, with the focus in it, or close it and give the focus back. */
  toggleHelp(): void {
    const opens = this.help.hidden;
    const before = opens ? document.activeElement : null;
    this.help.hidden = !opens;
    if (opens) {
      this.before = before instanceof HTMLElement ? before : null;
      this.help.focus({ preventScroll: true });
    } else if (this.help.contains(document.activeElement) || document.activeElement === document.body) {
      (this.before ?? this.root).focus({ preventScroll: true });
    }
  }

  dispose(): void {
    window.removeEventListener('keydown', this.pressed, true);
    this.root.removeEventListener('pointerdown', this.closed);
  }

  private before: HTMLElement | null = null;

  private readonly closed = (event: Event): void => {
    if (!(event.target as Element).closest('.lit-mod-help, .lit-keys')) {
      this.help.hidden = true;
    }
  };

  private readonly pressed = (event: KeyboardEvent): void => {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.altKey || event.metaKey || !(target instanceof Element) || !this.root.contains(target)) {
      return;
    }
    if (event.key === 'Escape' && !this.help.hidden) {
      this.toggleHelp();
      this.take(event);
    } else if (event.key === 'Escape' && this.acts.letGo()) {
      this.take(event);
    } else if (!target.closest(TEXT_FIELD)) {
      this.pressedOn(target, event);
    }
  };

  private pressedOn(target: Element, event: KeyboardEvent): void {
    const control = target.closest('button, summary, input');
    const act = this.actOf(event.key);
    const chart = target.closest('.lit-chart-area');
    if (control && OWN_KEYS.has(event.key)) {
      event.stopPropagation(); // it does what it always does, unheard by the notebook around it
    } else if (act) {
      act();
      this.take(event);
    } else if (chart && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) {
      this.acts.arrow(chart, event.key === 'ArrowLeft' ? -1 : 1);
      this.take(event);
    } else if (chart === target && event.key === 'Enter') {
      this.acts.hold(chart);
      this.take(event);
    }
  }

  private actOf(key: string): (() => void) | undefined {
    const acts: Record<string, () => void> = {
      ' ': () => this.acts.pause(),
      s: () => this.acts.save(),
      l: () => this.acts.log(),
      '+': () => this.acts.smooth(1),
      '=': () => this.acts.smooth(1),
      '-': () => this.acts.smooth(-1),
      '−': () => this.acts.smooth(-1),
      r: () => this.acts.reset(),
      '?': () => this.toggleHelp()
    };
    return acts[key.toLowerCase()];
  }

  private take(event: KeyboardEvent): void {
    event.preventDefault();
    event.stopPropagation();
  }
}
