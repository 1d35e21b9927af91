/**
 * Grid, ticks and their labels behind the curves.
 * It must not know plotly.js: what changes several times a second is drawn here, in a fraction of the time.
 */
import { draw } from './elements';
import type { Figure } from './figure';
import type { Places } from './places';

/** Room between a label and what it belongs to. */
const GAP = 6;
const X_LABEL = 15;

export class Axes {
  readonly svg = draw('svg', { class: 'lit-axes', 'aria-hidden': 'true' });

  /** Draw the axes of `figure`, if they are others than those that stand. */
  show(figure: Figure, places: Places): void {
    const { left, top, width, height } = places;
    const key = JSON.stringify([figure.xTicks, figure.yTicks, figure.x, figure.y, left, width, height]);
    if (key === this.drawn) {
      return;
    }
    this.drawn = key;
    this.svg.setAttribute('viewBox', `0 0 ${figure.view.width} ${figure.view.height}`);
    const grid: Element[] = [];
    for (const { at, text } of figure.yTicks) {
      const y = top + places.py(figure.view.logY ? 10 ** at : at);
      grid.push(draw('line', { class: 'lit-grid', x1: left, x2: left + width, y1: y, y2: y }));
      grid.push(label(text, { x: left - GAP, y: y + 4, 'text-anchor': 'end' }));
    }
    const floor = top + height;
    grid.push(draw('line', { class: 'lit-floor', x1: left, x2: left + width, y1: floor, y2: floor }));
    for (const { at, text } of figure.xTicks) {
      const x = left + places.px(at);
      const anchor = x > left + width - 24 ? 'end' : 'middle';
      grid.push(draw('line', { class: 'lit-floor', x1: x, x2: x, y1: floor, y2: floor + 3 }));
      grid.push(label(text, { x: anchor === 'end' ? left + width + 8 : x, y: floor + X_LABEL, 'text-anchor': anchor }));
    }
    this.svg.replaceChildren(...grid);
  }

  private drawn = '';
}

function label(text: string, place: Record<string, string | number>): Element {
  const element = draw('text', { class: 'lit-tick', ...place });
  element.textContent = text;
  return element;
}
