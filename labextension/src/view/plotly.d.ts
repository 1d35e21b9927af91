/**
 * The few functions of plotly.js that our cut of it offers (build/lines.mjs), as far as we use them.
 * It must not promise more than that cut holds.
 */

export interface Trace {
  uid: string;
  type: 'scatter';
  mode: 'lines' | 'lines+markers';
  x: Float64Array | number[];
  y: Float32Array | number[];
  line: { color: string; dash: string; width: number; simplify?: boolean };
  marker?: { color: string; size: number };
  opacity: number;
  cliponaxis: boolean;
  hoverinfo: 'skip';
}

export interface AxisLayout {
  type: 'linear' | 'log';
  range: [number, number];
  tickmode: 'array';
  tickvals: number[];
  ticktext: string[];
  [option: string]: unknown;
}

export interface Layout {
  width: number;
  height: number;
  xaxis: AxisLayout;
  yaxis: AxisLayout;
  datarevision: number;
  paper_bgcolor: string;
  [option: string]: unknown;
}

export type Config = Record<string, unknown>;

/** The element once plotly.js has drawn into it. */
export interface PlotElement extends HTMLElement {
  data?: Trace[];
  on(event: string, listener: (data: Record<string, unknown>) => void): void;
}

export function react(element: HTMLElement, data: Trace[], layout: Layout, config: Config): Promise<PlotElement>;
export function purge(element: HTMLElement): void;
export function toImage(
  figure: { data: Trace[]; layout: Layout },
  options: { format: 'png'; width: number; height: number; scale: number }
): Promise<string>;
