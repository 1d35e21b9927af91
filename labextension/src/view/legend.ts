/**
 * A chart's legend: one button a line, which hides it, or with Shift everything else.
 * It must not draw lines of a chart.
 */
import { metric } from '../format';
import { make, setAttribute, setText } from './elements';
import type { Line } from './families';
import type { View } from './figure';
import { lineSample } from './overlay';
import { colourOf, dashOf } from './theme';
import type { Translate } from './words';

interface Entry {
  button: HTMLButtonElement;
  value: HTMLElement;
  look: string;
}

export class Legend {
  readonly element: HTMLElement;

  constructor(
    private readonly trans: Translate,
    private readonly chosen: () => void
  ) {
    this.element = make('div.lit-legend', { role: 'group', 'aria-label': trans('Lines of this chart') });
  }

  isHidden(id: number): boolean {
    return this.hidden.has(id);
  }

  /** Show the last values of `lines` as `view` knows them; hidden lines keep theirs. */
  show(lines: Line[], view: View): void {
    this.lines = lines;
    const last = new Map(view.lines.map(({ line, series }) => [line.id, series.last]));
    for (const line of lines) {
      const entry = this.entries.get(line.id) ?? this.add(line);
      const look = `${colourOf(view.theme, line.slot)} ${dashOf(line.slot)}`;
      if (entry.look !== look) {
        entry.look = look;
        entry.button.querySelector('.lit-swatch')?.remove();
        entry.button.prepend(lineSample(colourOf(view.theme, line.slot), dashOf(line.slot)));
      }
      if (last.has(line.id)) {
        setText(entry.value, metric(last.get(line.id) ?? undefined));
      }
      setAttribute(entry.button, 'aria-pressed', String(!this.hidden.has(line.id)));
    }
  }

  private readonly hidden = new Set<number>();
  private readonly entries = new Map<number, Entry>();
  private lines: Line[] = [];

  private add(line: Line): Entry {
    const value = make('span.lit-legend-value');
    const button = make(
      'button.lit-legend-item',
      {
        type: 'button',
        title: `${line.name}\n${this.trans('Click hides the line, Shift+click shows it alone')}`,
        click: (event: MouseEvent) => this.choose(line.id, event.shiftKey)
      },
      make('span.lit-legend-name', {}, line.label),
      value
    );
    const entry = { button, value, look: '' };
    this.entries.set(line.id, entry);
    this.element.append(button);
    return entry;
  }

  private choose(id: number, alone: boolean): void {
    if (alone) {
      const others = this.lines.filter(line => line.id !== id);
      const isAlone = !this.hidden.has(id) && others.every(line => this.hidden.has(line.id));
      this.hidden.clear();
      if (!isAlone) {
        others.forEach(line => this.hidden.add(line.id));
      }
    } else if (!this.hidden.delete(id)) {
      this.hidden.add(id);
    }
    for (const [each, { button }] of this.entries) {
      setAttribute(button, 'aria-pressed', String(!this.hidden.has(each)));
    }
    this.chosen();
  }
}
