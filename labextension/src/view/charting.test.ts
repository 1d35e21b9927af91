/**
 * Metrics find their charts, numbers their places, ticks and colours. It must not draw.
 */
import { describe, expect, it } from 'vitest';
import { direction, families, familyKey } from './families';
import { layOut, tracesOf, View } from './figure';
import { bests } from './overlay';
import { dotsOf, nearest, pathOf, placesOf } from './places';
import { linearTicks, logRange, logTicks, placeText, runningRange, runTicks, valueRange, valueTicks } from './scale';
import { smoothed } from './smooth';
import type { Series } from './store';
import { colourOf, dashOf, plainTheme } from './theme';

function named(...names: string[]): { id: number; name: string }[] {
  return names.map((name, id) => ({ id, name }));
}

function aSeries(name: string, y: number[], x = y.map((_, i) => i)): Series {
  const marks = { min: null, max: null, nonfinite: [], last: y[y.length - 1] ?? null };
  const points = { x: Float64Array.from(x), y: Float32Array.from(y), length: y.length };
  return { id: 0, name, progBar: false, span: null, stride: 1, total: y.length, branches: [], ...marks, ...points };
}

function aView(y: number[], changes: Partial<View> = {}): View {
  const [family] = families(named('train_loss'));
  const lines = [{ line: family.lines[0], series: aSeries('train_loss', y) }];
  const frame = { axis: 'step' as const, x: [0, 100] as [number, number], width: 600, height: 200 };
  return { lines, ...frame, logY: false, smoothing: 0, theme: plainTheme('sans-serif'), ...changes };
}

describe('families', () => {
  it.each([
    ['train_loss', 'loss'],
    ['val_loss', 'loss'],
    ['val/loss', 'loss'],
    ['loss_epoch', 'loss'],
    ['Loss', 'loss'],
    ['val_loss/dataloader_idx_1', 'loss'],
    ['train_acc', 'accuracy'],
    ['valid_accuracy', 'accuracy'],
    ['critic_loss', 'critic_loss'],
    ['grad/norm', 'grad'],
    ['grad/max', 'grad'],
    ['lr-Adam', 'learning rate'],
    ['lr-SGD/pg1', 'learning rate'],
    ['f1', 'f1'],
    ['train', 'train']
  ])('%s belongs to %s', (name, key) => expect(familyKey(name)).toBe(key));

  it('puts loss first, accuracy next, the learning rate last, and counters nowhere', () => {
    const found = families(named('lr-Adam', 'epoch', 'f1', 'train_acc', 'critic_loss', 'train_loss', 'val_loss'));
    expect(found.map(({ key }) => key)).toEqual(['loss', 'critic_loss', 'accuracy', 'f1', 'learning rate']);
  });

  it('gives the phases their own looks, in every chart the same, and no two lines of a chart the same', () => {
    const [loss, accuracy] = families(named('val_loss', 'train_loss', 'test_loss', 'val_acc', 'train_loss_epoch'));
    const slots = Object.fromEntries([...loss.lines, ...accuracy.lines].map(({ name, slot }) => [name, slot]));
    expect(slots).toMatchObject({ train_loss: 0, val_loss: 1, test_loss: 2, val_acc: 1 });
    expect(new Set(loss.lines.map(({ slot }) => slot)).size).toBe(4);
    expect(loss.lines[0].name).toBe('train_loss');
  });

  it('tells twenty lines apart by colour or dash', () => {
    const theme = plainTheme('x');
    const looks = Array.from({ length: 20 }, (_, slot) => `${colourOf(theme, slot)} ${dashOf(slot)}`);
    expect(new Set(looks).size).toBe(20);
  });

  it('knows what is better where the name says it', () => {
    expect(['val_loss', 'wer', 'val/acc', 'f1', 'lr', 'weight'].map(direction)).toEqual([-1, -1, 1, 1, 0, 0]);
  });

  it('leaves the group out of labels', () => {
    expect(families(named('grad/norm', 'grad/max'))[0].lines.map(({ label }) => label)).toEqual(['norm', 'max']);
  });
});

describe('ranges', () => {
  it('stand still while a curve grows, and end where the run ends', () => {
    const first = runningRange(null, [0, 100], 1000, true);
    expect(first[1]).toBeGreaterThan(100);
    expect(runningRange(first, [0, 104], 1000, true)).toBe(first);
    expect(runningRange(first, [0, 120], 1000, true)[1]).toBeGreaterThan(120);
    expect(runningRange(null, [0, 990], 1000, true)).toEqual([0, 1000]);
    const over = runningRange(first, [0, 100], 1000, false);
    expect(over[1]).toBeGreaterThanOrEqual(100);
    expect(over[1]).toBeLessThan(103);
  });

  it('keep values in sight with air, and shrink when a range has become too wide', () => {
    const range = valueRange(null, [0.5, 2]);
    expect(range[0]).toBeLessThan(0.5);
    expect(range[1]).toBeGreaterThan(2);
    expect(valueRange(range, [0.6, 1.9])).toBe(range);
    expect(valueRange(range, [0.6, 0.7])).not.toBe(range);
    expect(valueRange(null, [0.01, 2])[0]).toBe(0);
    expect(valueRange(null, [3, 3])[1]).toBeGreaterThan(3);
    expect(logRange(null, [0.001, 10])[0]).toBeLessThan(-3);
  });
});

describe('ticks', () => {
  const texts = (list: { text: string }[]): string[] => list.map(({ text }) => text);

  it('are round and few', () => {
    expect(texts(valueTicks([0, 2.5], 5))).toEqual(['0.0', '0.5', '1.0', '1.5', '2.0', '2.5']);
    expect(texts(valueTicks([-1, 1], 4))).toEqual(['−1.0', '−0.5', '0.0', '0.5', '1.0']);
    expect(texts(runTicks('step', [0, 1800], 9))).toContain('1,400');
    expect(texts(runTicks('step', [0, 2], 9))).toEqual(['0', '1', '2']);
    expect(texts(runTicks('epoch', [0, 2], 4))).toEqual(['0', '0.5', '1', '1.5', '2']);
  });

  it.each([
    [1e-7, 3e-7],
    [0, 5e6],
    [-3e-5, 3e-5],
    [0.9999, 1.0001],
    [12345, 12346]
  ])('never repeat a text between %d and %d', (low, high) => {
    const found = texts(valueTicks([low, high], 5));
    expect(found.length).toBeGreaterThan(1);
    expect(new Set(found).size).toBe(found.length);
  });

  it('of a logarithmic axis are decades, or round numbers inside one', () => {
    expect(texts(logTicks([-4, 1], 6))).toEqual(['1e−4', '0.001', '0.01', '0.1', '1', '10']);
    const inside = logTicks([Math.log10(0.12), Math.log10(0.9)], 5);
    expect(inside.length).toBeGreaterThan(1);
    expect(inside.every(({ at }) => at >= Math.log10(0.12) && at <= Math.log10(0.9))).toBe(true);
  });

  it('of the time lie at round local times', () => {
    const at = new Date(2026, 10, 24, 14, 2, 3).getTime() / 1000;
    expect(texts(runTicks('time', [at, at + 60], 6))).toContain('14:02:30');
    expect(texts(runTicks('time', [at, at + 3600], 6))).toContain('14:30');
    expect(placeText('time', at)).toBe('14:02:03');
    expect(placeText('epoch', 2.84)).toBe('2.84');
    expect(placeText('step', 1240)).toBe('1,240');
  });

  it('stay finite where the range is nothing', () => {
    expect(linearTicks([1, 1], 5, String).length).toBeLessThan(60);
  });
});

describe('smoothed', () => {
  const x = Float64Array.from({ length: 200 }, (_, i) => i);

  it('leaves a constant alone and has no bias at the start', () => {
    const out = smoothed(x, new Float32Array(200).fill(3), 0.9, 199);
    expect(Math.max(...out.map(v => Math.abs(v - 3)))).toBeLessThan(1e-6);
  });

  it('damps noise more the stronger it is, and goes on behind a gap', () => {
    const noisy = Float32Array.from(x, i => (i % 2 ? 1 : -1));
    const size = (strength: number): number => Math.max(...smoothed(x, noisy, strength, 20_000).subarray(100));
    expect(size(0.99)).toBeLessThan(size(0.9));
    expect(size(0.9)).toBeLessThan(0.5);
    noisy[50] = NaN;
    const out = smoothed(x, noisy, 0.9, 199);
    expect(out[50]).toBeNaN();
    expect(Number.isFinite(out[51])).toBe(true);
  });

  it('looks the same at half the resolution', () => {
    const y = Float32Array.from(x, i => Math.exp(-i / 40));
    const half = x.filter((_, i) => i % 2 === 0);
    const fine = smoothed(x, y, 0.6, 20);
    const coarse = smoothed(
      half,
      Float32Array.from(half, i => Math.exp(-i / 40)),
      0.6,
      20
    );
    expect(Math.abs(fine[100] - coarse[50])).toBeLessThan(0.02);
  });
});

describe('a figure', () => {
  it('has the same frame whatever its points and ranges, another one in another size or theme', () => {
    const y = Array.from({ length: 60 }, (_, i) => 2 - i / 60);
    const first = layOut(aView(y), null);
    expect(layOut(aView([...y, 1.01]), first).y).toBe(first.y);
    expect(layOut(aView([...y, 9]), first).y).not.toEqual(first.y);
    expect(layOut(aView([...y, 9]), first).frame).toBe(first.frame);
    expect(layOut(aView(y, { width: 500 }), first).frame).not.toBe(first.frame);
    expect(layOut(aView(y, { theme: { ...plainTheme('x'), dark: true } }), first).frame).not.toBe(first.frame);
  });

  it('keeps its columns where they are when its labels become shorter', () => {
    const wide = layOut(aView([-12345, -12346]), null);
    expect(layOut(aView([1, 2]), wide).margin.l).toBe(wide.margin.l);
    expect(layOut(aView([1, 2]), null).margin.l).toBeLessThan(wide.margin.l);
  });

  it('draws what was abandoned behind the curve, in grey, and never as a reading', () => {
    const view = aView([3, 2, 1]);
    view.lines[0].series.branches = [{ x: Float64Array.from([1, 2, 3]), y: Float32Array.from([2, 5, 6]) }];
    const figure = layOut(view, null);
    expect(figure.curves.map(({ uid, branch }) => [uid, branch])).toEqual([
      ['b0-0', true],
      ['m0', false]
    ]);
    const [branch, curve] = tracesOf(figure);
    expect(branch.line.color).toBe(view.theme.branch);
    expect(branch.line.color).not.toBe(curve.line.color);
    expect(figure.y[1]).toBeGreaterThanOrEqual(6);
    expect(bests(figure).every(best => !best.curve.branch)).toBe(true);
  });

  it('smooths with the raw line faint behind, but not a handful of points', () => {
    const many = layOut(
      aView(
        Array.from({ length: 60 }, (_, i) => i % 5),
        { smoothing: 0.8 }
      ),
      null
    );
    expect(many.curves.map(({ faint }) => faint)).toEqual([true, false]);
    expect(tracesOf(many)[0].opacity).toBeLessThan(0.5);
    const few = layOut(aView([1, 2, 3], { smoothing: 0.8 }), null);
    expect(tracesOf(few).map(({ mode }) => mode)).toEqual(['lines+markers']);
  });

  it('leaves zero and below out of a logarithmic range', () => {
    const { y } = layOut(aView([-1, 0, 0.1, 10], { logY: true }), null);
    expect(y[0]).toBeGreaterThan(-2);
    expect(Number.isFinite(y[0])).toBe(true);
  });

  it('places values and finds them again', () => {
    const figure = layOut(aView([0, 1, 2]), null);
    const places = placesOf(figure);
    expect(places.xAt(places.px(37))).toBeCloseTo(37);
    expect(places.py(figure.y[0])).toBeCloseTo(places.height);
    expect(places.py(figure.y[1])).toBeCloseTo(0);
  });

  it('draws gaps as gaps, and only what is in sight', () => {
    const plain = { px: (x: number): number => x, py: (y: number): number => y, width: 10, left: 0, top: 0 };
    const places = { ...placesOf(layOut(aView([0]), null)), ...plain };
    const path = (x: number[], y: number[]): string => pathOf(Float64Array.from(x), Float32Array.from(y), places);
    expect(path([0, 1, 2, 3], [5, NaN, 7, 8])).toBe('M0,5M2,7L3,8');
    expect(path([-5, -4, -1, 5, 11, 12, 13], [1, 1, 1, 1, 1, 1, 1])).toBe('M-1,1L5,1L11,1');
    expect(path([0], [NaN])).toBe('M0,0');
    expect(path([0.99], [1])).toBe('M0.9,1');
    const dots = (y: number[], all: boolean): string =>
      dotsOf(Float64Array.from(y.keys()), Float32Array.from(y), places, all);
    expect(dots([5, NaN, 7, NaN, 8, 9], false)).toBe('M0,5h0M2,7h0');
    expect(dots([1, 2], true)).toBe('M0,1h0M1,2h0');
  });

  it('finds the nearest point', () => {
    const x = Float64Array.from([0, 10, 20]);
    expect([-5, 4, 6, 14.9, 99].map(at => nearest(x, at))).toEqual([0, 0, 1, 1, 2]);
    expect(nearest(new Float64Array(0), 1)).toBe(-1);
  });
});
