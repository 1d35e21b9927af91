/**
 * A stand-in for our cut of plotly.js: notes what it was asked to draw and makes the paths that the real one makes.
 * It must not be imported by the product; vitest.config.ts puts it in the place of './plotly'.
 */
import type { Config, Layout, PlotElement, Trace } from '../plotly';

export interface Drawing {
  element: HTMLElement;
  traces: Trace[];
  layout: Layout;
}

export const drawings: Drawing[] = [];
const listeners = new WeakMap<HTMLElement, Record<string, (data: Record<string, unknown>) => void>>();

/** Have `element` report what a person did in the real one. */
export function emit(element: HTMLElement, event: string, data: Record<string, unknown> = {}): void {
  listeners.get(element)?.[event]?.(data);
}

export function react(element: HTMLElement, traces: Trace[], layout: Layout, _config: Config): Promise<PlotElement> {
  drawings.push({ element, traces, layout });
  element.replaceChildren(
    ...traces.map(({ uid }) => {
      const group = document.createElementNS('http://www.w3.org/2000/svg', 'g');
      group.setAttribute('class', `trace scatter trace${uid}`);
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('class', 'js-line');
      group.append(path);
      return group;
    })
  );
  const plot = Object.assign(element, {
    on: (event: string, listener: (data: Record<string, unknown>) => void): void => {
      listeners.set(element, { ...listeners.get(element), [event]: listener });
    }
  });
  return Promise.resolve(plot);
}

export function purge(element: HTMLElement): void {
  element.replaceChildren();
}

export function toImage(): Promise<string> {
  return Promise.resolve('data:image/png;base64,AAAA');
}
