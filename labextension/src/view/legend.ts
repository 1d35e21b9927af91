/**
 * A chart's legend: one button a line, which hides it, or with Shift everything else.
 * It must not draw lines of a chart.
 */
import { metric } from '../format';
import { make, setAttribute, setText } from './elements';
import type { Line } from './families';
import type { View } from './figure';
import { lineSample } from './overlay';
import type { MetricValue } from './source';
import { colourOf, dashOf } from './theme';
import type { Translate } from './words';

interface Entry {
  button: HTMLButtonElement;
  value: HTMLElement;
  look: string;
}

export class Legend {
  readonly element: HTMLElement;

  /**
   * @param hidden - names of hidden lines, shared by all charts and kept up to date.
   * @param chosen - called when a person has hidden or shown lines.
   */
  constructor(
    private readonly trans: Translate,
    private readonly hidden: Set<string>,
    private readonly chosen: () => void
  ) {
    this.element = make('div.lit-legend', { role: 'group', 'aria-label': trans('Lines of this chart') });
  }

  isHidden(name: string): boolean {
    return this.hidden.has(name);
  }

  /** Take over `lines` and the last values of those in `view`; hidden ones keep theirs. `read` shows the values. */
  show(lines: Line[], view: View): void {
    this.lines = lines;
    for (const { line, series } of view.lines) {
      this.last.set(line.id, series.last);
    }
    for (const line of lines) {
      const entry = this.entries.get(line.id) ?? this.add(line);
      const look = `${colourOf(view.theme, line.slot)} ${dashOf(line.slot)}`;
      if (entry.look !== look) {
        entry.look = look;
        entry.button.querySelector('.lit-swatch')?.remove();
        entry.button.prepend(lineSample(colourOf(view.theme, line.slot), dashOf(line.slot)));
      }
      setAttribute(entry.button, 'aria-pressed', String(!this.hidden.has(line.name)));
    }
  }

  /** Show each line's value at the cursor; null shows the last ones again. */
  read(values: Map<number, string> | null): void {
    this.element.classList.toggle('lit-mod-reading', values !== null);
    for (const [id, { value }] of this.entries) {
      setText(value, values ? (values.get(id) ?? '–') : metric(this.last.get(id) ?? undefined));
    }
  }

  private readonly entries = new Map<number, Entry>();
  private readonly last = new Map<number, MetricValue | null>();
  private lines: Line[] = [];

  private add(line: Line): Entry {
    const value = make('span.lit-legend-value');
    const button = make(
      'button.lit-legend-item',
      {
        type: 'button',
        title: `${line.name}\n${this.trans('Click hides the line; Shift+click, or O, shows it alone')}`,
        click: (event: MouseEvent) => this.choose(line, event.shiftKey),
        keydown: (event: KeyboardEvent) => this.pressed(line, event)
      },
      make('span.lit-legend-name', {}, line.label),
      value
    );
    const entry = { button, value, look: '' };
    this.entries.set(line.id, entry);
    this.element.append(button);
    return entry;
  }

  private pressed(line: Line, event: KeyboardEvent): void {
    const alone = event.key.toLowerCase() === 'o' || (event.shiftKey && event.key === 'Enter');
    if (alone && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      event.stopPropagation();
      this.choose(line, true);
    }
  }

  private choose(line: Line, alone: boolean): void {
    const { hidden } = this;
    if (alone) {
      const others = this.lines.filter(({ id }) => id !== line.id);
      const isAlone = !hidden.has(line.name) && others.every(({ name }) => hidden.has(name));
      this.lines.forEach(({ name }) => hidden.delete(name));
      if (!isAlone) {
        others.forEach(({ name }) => hidden.add(name));
      }
    } else if (!hidden.delete(line.name)) {
      hidden.add(line.name);
    }
    for (const each of this.lines) {
      const entry = this.entries.get(each.id);
      if (entry) {
        setAttribute(entry.button, 'aria-pressed', String(!hidden.has(each.name)));
      }
    }
    this.chosen();
  }
}
