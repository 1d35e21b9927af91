/**
 * Numbers and states in words, the same on every screen.
 * It must not know the page: no DOM, no JupyterLab.
 */
import type { IRun, IRunStatus, MetricValue, RunState } from './api';

/** Joins a number and its unit so that no line breaks between them. */
const NBSP = '\u00a0';

/** Seconds as `12 s`, `3 m 04 s` or `2 h 05 m`. */
export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const s = whole % 60;
  const m = Math.floor(whole / 60) % 60;
  const h = Math.floor(whole / 3600);
  const two = (n: number): string => String(n).padStart(2, '0');
  if (h > 0) {
    return `${h}${NBSP}h${NBSP}${two(m)}${NBSP}m`;
  }
  return m > 0 ? `${m}${NBSP}m${NBSP}${two(s)}${NBSP}s` : `${s}${NBSP}s`;
}

/** A rough wait: `~8 s`, `~4 min`, `~1 h 20 min`; coarse steps, so that it doesn't flicker. */
export function roughly(seconds: number): string {
  if (seconds < 90) {
    const step = seconds < 20 ? 1 : 5;
    return `~${Math.max(1, Math.round(seconds / step) * step)}${NBSP}s`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return `~${minutes}${NBSP}min`;
  }
  const tens = Math.round(minutes / 10) * 10;
  const rest = tens % 60;
  return `~${Math.floor(tens / 60)}${NBSP}h` + (rest ? `${NBSP}${rest}${NBSP}min` : '');
}

/** How long ago, coarsely: `now`, `5 min ago`, `3 h ago`, `2 d ago`. */
export function ago(seconds: number): string {
  if (seconds < 45) {
    return 'now';
  }
  const units: [number, string][] = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min']
  ];
  for (const [size, unit] of units) {
    if (seconds >= size || unit === 'min') {
      return `${Math.max(1, Math.round(seconds / size))}${NBSP}${unit} ago`;
    }
  }
  return 'now';
}

/** Bytes in the unit that keeps up to three digits: `812 MB`, `1.6 GB`, `96 GB`. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = Math.max(0, value);
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit > 1 && size < 10 ? size.toFixed(1) : Math.round(size)}${NBSP}${units[unit]}`;
}

/** `used / total` with the unit written once: `5.1 / 16 GB`. */
export function bytesOf(used: number, total: number): string {
  const [whole, unit] = bytes(total).split(NBSP);
  const scale = 1024 ** ['B', 'kB', 'MB', 'GB', 'TB'].indexOf(unit);
  const part = used / scale;
  return `${part < 10 && unit !== 'B' ? part.toFixed(1) : Math.round(part)} / ${whole}${NBSP}${unit}`;
}

/** A share of 1 as `62 %`; rounds down, so that 100 % means done. */
export function percent(share: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, share)) * 100)}${NBSP}%`;
}

/** A metric with about four significant digits; NaN and infinities stay visible. */
export function metric(value: MetricValue | undefined): string {
  if (value === undefined) {
    return '';
  }
  if (typeof value === 'string') {
    return value === 'nan' ? 'NaN' : value.replace('inf', '∞').replace('-', '−');
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(2).replace('e+', 'e').replace('-', '−');
  }
  const text = Number.isInteger(value) ? String(value) : value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 4);
  return text.replace('-', '−');
}

/** The last part of a path. */
export function basename(path: string): string {
  return path.split('/').filter(Boolean).pop() ?? '';
}

/** Whether the run can still be paused, stopped or steered. */
export function isActive(status: IRunStatus): boolean {
  return status.state === 'running' || status.state === 'paused';
}

/** How much of the run is done, 0 to 1; null where its end is not known. */
export function progress(status: IRunStatus): number | null {
  if (status.state === 'finished') {
    return 1;
  }
  if (status.stage === 'test' || status.stage === 'predict') {
    return status.batches ? Math.min(1, status.batch / status.batches) : null;
  }
  if (status.planned_steps) {
    return Math.min(1, status.step / status.planned_steps);
  }
  return status.max_epochs && status.max_epochs > 0 ? Math.min(1, status.epoch / status.max_epochs) : null;
}

/**
 * The wait until the run's end in words; empty while a guess would be worth nothing.
 * The first seconds hold start-up costs, which no rate is taken from.
 */
export function timeLeft(status: IRunStatus): string {
  const done = progress(status) ?? 0;
  const known = status.eta !== null && status.state === 'running' && (done >= 0.05 || status.active >= 10);
  return known ? roughly(status.eta as number) : '';
}

/** The metric that the run is known by: the first headline one, else a loss, else any. */
export function headline(run: IRun): [string, MetricValue] | null {
  const status = run.status;
  const first = Object.entries(status.headline)[0];
  const all = Object.entries(status.metrics);
  return first ?? all.find(([name]) => name.includes('loss')) ?? all[0] ?? null;
}

/** Where a run is in its plan: `epoch 3/10`, `step 1,240`, `testing`. */
export function place(status: IRunStatus): string {
  if (status.stage === 'test' || status.stage === 'predict') {
    return status.stage === 'test' ? 'testing' : 'predicting';
  }
  if (status.max_epochs && status.max_epochs > 0) {
    return `epoch ${Math.min(status.epoch + 1, status.max_epochs)}/${status.max_epochs}`;
  }
  return `step ${status.step.toLocaleString('en')}`;
}

/** One word for a state. */
export function stateWord(state: RunState): string {
  const words: Record<RunState, string> = {
    created: 'starting',
    running: 'training',
    paused: 'paused',
    finished: 'finished',
    stopped: 'stopped',
    interrupted: 'interrupted',
    failed: 'failed',
    lost: 'lost: its process is gone'
  };
  return words[state] ?? state;
}

/** Hours and minutes of a time in milliseconds since the epoch, as this browser writes them. */
export function clock(milliseconds: number): string {
  return new Date(milliseconds).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

/**
 * Whether a run's notebook is the one at `path` (relative to the server's root).
 * A run may know its notebook by its path on disk: then its end has to fit.
 */
export function isNotebook(notebook: string, path: string): boolean {
  const plain = (text: string): string => text.replace(/^[^:/]*:/, '').replace(/^\/+/, '');
  const [a, b] = [plain(notebook), plain(path)];
  return a !== '' && b !== '' && (a === b || a.endsWith('/' + b));
}
