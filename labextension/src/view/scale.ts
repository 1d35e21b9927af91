/**
 * Numbers to places: ranges that stand still while a curve grows, ticks that are easy to read, and their words.
 * It must not know the chart.
 */
import type { Axis } from './source';

export type Range = [number, number];

export interface Tick {
  at: number;
  text: string;
}

/** How much of the width is left free on the right of a growing curve, so that the axis moves seldom. */
const AHEAD = 0.08;
/** At the end of a run that is over there is room for a mark. */
const AFTER = 0.01;
/** A range is kept while the data fill at least this share of it. */
const FILLED = 0.55;
const MARGIN = 0.06;

/**
 * The range of an axis along which a run goes on.
 *
 * @param held - the range in use, kept if the data still fit well.
 * @param data - what is to be shown.
 * @param end - where the run will end if that is known: nothing beyond it is shown.
 * @param growing - whether more is to come.
 */
export function runningRange(held: Range | null, data: Range, end: number | null, growing: boolean): Range {
  const [low, high] = data;
  const span = high - low || Math.abs(high) || 1;
  if (!growing) {
    return [low, high > low ? high + span * AFTER : low + span];
  }
  if (held && held[0] === low && high <= held[1] && high - low >= FILLED * (held[1] - low)) {
    return held;
  }
  const ahead = high + span * AHEAD;
  return [low, end !== null && end > low && end >= high ? Math.min(end, ahead) : ahead];
}

/** The range of values, with a little air; kept while the data fit in and fill it well. */
export function valueRange(held: Range | null, data: Range): Range {
  const [low, high] = data;
  if (held && low >= held[0] && high <= held[1] && high - low >= FILLED * (held[1] - held[0])) {
    return held;
  }
  const span = high - low || Math.abs(high) * 0.1 || 1;
  let bottom = low - span * MARGIN;
  if (low >= 0 && low <= span * 0.35) {
    bottom = Math.min(0, bottom < 0 ? 0 : bottom); // a curve that comes close to zero stands on it
  }
  return [bottom, high + span * MARGIN];
}

/** The same for a logarithmic axis, in powers of ten. */
export function logRange(held: Range | null, data: Range): Range {
  const [low, high] = [Math.log10(data[0]), Math.log10(data[1])];
  if (held && low >= held[0] && high <= held[1] && high - low >= FILLED * (held[1] - held[0])) {
    return held;
  }
  const air = Math.max(0.04, (high - low) * MARGIN);
  return [low - air, high + air];
}

/** At most `count` ticks at round numbers inside `range`. */
export function linearTicks([low, high]: Range, count: number, text: (value: number) => string): Tick[] {
  const step = roundStep((high - low) / Math.max(1, count));
  return multiples(low, high, step).map(at => ({ at, text: text(at) }));
}

/** A round step near `least`: a little less is better than half as many ticks. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return (([1, 2, 5, 10].find(n => n * power >= least * 0.8) as number) ?? 10) * power;
}

function multiples(low: number, high: number, step: number): number[] {
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && found.length < 50; i++) {
    found.push(i === 0 ? 0 : Number((i * step).toPrecision(12)));
  }
  return found;
}

/** Ticks of values; as many decimals as tell neighbours apart. */
export function valueTicks(range: Range, count: number): Tick[] {
  const step = roundStep((range[1] - range[0]) / Math.max(1, count));
  const size = Math.max(Math.abs(range[0]), Math.abs(range[1]));
  if (size >= 1e5 || size < 1e-3) {
    return linearTicks(range, count, value => (value === 0 ? '0' : short(value)));
  }
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return linearTicks(range, count, value => minus(value.toFixed(decimals)));
}

/** Ticks of a logarithmic axis whose range is in powers of ten; `at` is in powers of ten too. */
export function logTicks([low, high]: Range, count: number): Tick[] {
  const decades = Math.floor(high) - Math.ceil(low) + 1;
  if (decades >= 2) {
    const every = Math.ceil(decades / count);
    const found: Tick[] = [];
    for (let p = Math.ceil(low / every) * every; p <= high; p += every) {
      found.push({ at: p, text: short(10 ** p) });
      for (const n of decades <= 3 && count >= 6 ? [2, 5] : []) {
        found.push({ at: p + Math.log10(n), text: short(n * 10 ** p) });
      }
    }
    return found.filter(({ at }) => at >= low && at <= high);
  }
  // Less than two decades: round numbers as on a straight axis, thinned where they crowd at the top.
  const least = (high - low) / (count * 1.4);
  let last = -Infinity;
  const ticks = linearTicks([10 ** low, 10 ** high], count * 2, short);
  const spread = ticks.filter(({ at }) => {
    const place = Math.log10(at);
    const keep = at > 0 && place - last >= least;
    last = keep ? place : last;
    return keep;
  });
  return spread.map(({ at, text }) => ({ at: Math.log10(at), text }));
}

/** A value as short as an axis wants it: `0.05`, `2e-5`, `120k`. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e4 && size < 1e12) {
    const power = Math.floor(Math.log10(size) / 3);
    return minus(`${Number((value / 1000 ** power).toPrecision(4))}${['', 'k', 'M', 'G'][power]}`);
  }
  if (size !== 0 && (size < 1e-3 || size >= 1e12)) {
    const [digits, power] = value.toExponential(2).split('e');
    return minus(`${Number(digits)}e${Number(power)}`);
  }
  return minus(String(Number(value.toPrecision(4))));
}

function minus(text: string): string {
  return text.replace(/^-/, '−').replace('e-', 'e−');
}

/** Ticks along the run. */
export function runTicks(axis: Axis, range: Range, count: number): Tick[] {
  if (axis === 'time' || axis === 'active') {
    return clockTicks(range, count, axis === 'active');
  }
  const whole = axis === 'step' || axis === 'samples';
  const step = Math.max(roundStep((range[1] - range[0]) / Math.max(1, count)), whole ? 1 : 0);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return multiples(range[0], range[1], step).map(at => ({
    at,
    text: Math.abs(at) >= 1e6 ? short(at) : at.toLocaleString('en', { maximumFractionDigits: decimals })
  }));
}

const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Ticks at round local times, or at round numbers of seconds, minutes and hours. */
function clockTicks([low, high]: Range, count: number, duration: boolean): Tick[] {
  const least = (high - low) / Math.max(1, count);
  const step = CLOCK_STEPS.find(s => s >= least) ?? Math.ceil(least / 86400) * 86400;
  if (duration) {
    const fine = least < 0.8 ? roundStep(least) : step;
    return multiples(low, high, fine).map(at => ({ at, text: durationText(at, fine) }));
  }
  const offset = new Date(low * 1000).getTimezoneOffset() * 60;
  return multiples(low - offset, high - offset, step).map(local => {
    const at = local + offset;
    return { at, text: clockText(at, step) };
  });
}

/** `90` as `1:30`, `5400` as `1:30:00`; a step below a second shows its decimals. */
function durationText(at: number, step: number): string {
  if (at < 60 || step < 1) {
    return `${Number(at.toFixed(2))} s`;
  }
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  const minutes = `${Math.floor(at / 60) % 60}:${two(at % 60)}`;
  return at >= 3600 ? `${Math.floor(at / 3600)}:${minutes.padStart(5, '0')}` : minutes;
}

function clockText(at: number, step: number): string {
  const date = new Date(at * 1000);
  if (step >= 86400) {
    return date.toLocaleDateString([], { month: 'short', day: 'numeric' });
  }
  const second = step < 60 ? ({ second: '2-digit' } as const) : {};
  return date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', ...second, hourCycle: 'h23' });
}

/** A place on the axis in words: `1,240`, `3.25`, `14:02:10`. */
export function placeText(axis: Axis, at: number): string {
  if (axis === 'time') {
    return clockText(at, 1);
  }
  if (axis === 'active') {
    return durationText(at, 1);
  }
  return axis === 'step' || axis === 'samples' ? Math.round(at).toLocaleString('en') : at.toFixed(2);
}
