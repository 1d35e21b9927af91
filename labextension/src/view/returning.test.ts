/**
 * What outlives a look: the layout, what was seen, what is copied, and what is told to who listens or comes back.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AwayLine } from './away';
import { checkpointsOf, nearestCheckpoint, resumeLine } from './checkpoints';
import { markdownTable, pythonOfChart, pythonOfNumber } from './copying';
import { eventMarks, placing, rateMarks } from './marks';
import { layouts, Memory } from './memory';
import type { RunEvent } from './packet';
import { RunStore } from './store';
import { decodePacket } from './packet';
import { Summary } from './summary';
import { aStatus, encode } from './testing/packets';

const same = (sentence: string): string => sentence;

function at(event: string, step: number, more: Partial<RunEvent> = {}): RunEvent {
  return { event, time: 1_000 + step, step, epoch: 0, ...more };
}

/** A fit to 150 with checkpoints at 100 and 140, gone on with from 100, and a checkpoint at 180. */
const RESUMED = [
  at('RunStarted', 0, { stage: 'train' }),
  at('CheckpointSaved', 100, { path: 'a.ckpt', best: true }),
  at('CheckpointSaved', 140, { path: 'b.ckpt', best: true }),
  at('RunStarted', 100, { stage: 'train' }),
  at('WarningRaised', 120, { kind: 'slow-loader', message: 'slow\nand more' }),
  at('CheckpointSaved', 180, { path: 'c.ckpt' })
];

beforeEach(() => window.localStorage.clear());
afterEach(() => vi.restoreAllMocks());

describe('memory', () => {
  it('keeps the latest, not more than it should, and does without storage', () => {
    const memory = new Memory<number>('test');
    for (let i = 0; i < 100; i++) {
      memory.write(`run${i}`, i);
    }
    expect(memory.read('run99')).toBe(99);
    expect(memory.read('run0')).toBeNull();
    window.localStorage.setItem('test', 'no JSON');
    expect(memory.read('run99')).toBeNull();
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new Error('full');
    });
    expect(() => layouts.write('a', { axis: 'step', smoothing: 0, logY: false, hidden: [], folded: {} })).not.toThrow();
  });
});

describe('who comes back', () => {
  const status = aStatus({ step: 10, epoch: 1 });
  const events = [at('RunStarted', 0)];

  it('is told what happened, once, and led to the first of it', () => {
    const lead = vi.fn();
    const line = new AwayLine(same, lead);
    line.note('r', status, events, true, 0);
    line.note('r', status, events, true, 30_000);
    expect(line.element.hidden).toBe(true);
    const more = [...events, at('CheckpointSaved', 40), at('WarningRaised', 50), at('WarningRaised', 60)];
    line.note('r', aStatus({ step: 90, epoch: 4 }), more, false, 600_000);
    expect(line.element.hidden).toBe(true);
    line.note('r', aStatus({ step: 90, epoch: 4 }), more, true, 30_000 + 17 * 60_000);
    expect(line.element.textContent).toMatch(
      /^While you were away \(17\sm\s00\ss\): 3 epochs, 1 checkpoint, 2 warnings/
    );
    line.element.querySelector<HTMLElement>('.lit-away-words')!.click();
    expect(lead).toHaveBeenCalledWith(expect.objectContaining({ step: 10, events: 1 }));
    expect(line.element.hidden).toBe(true);
  });

  it('is told after the page was closed too, but not of a run where nothing has happened', () => {
    new AwayLine(same, vi.fn()).note('r', status, events, true, 1_000);
    const again = new AwayLine(same, vi.fn());
    again.note('r', status, events, true, 3_600_000);
    expect(again.element.hidden).toBe(true);
    const later = new AwayLine(same, vi.fn());
    later.note('r', aStatus({ step: 50, epoch: 1 }), events, true, 7_200_000);
    expect(later.element.textContent).toContain('40 steps');
  });
});

describe('the summary', () => {
  it('says epoch, number and trend, and is silent in between', () => {
    const summary = new Summary(same);
    const show = (loss: number, now: number, more = {}): string => {
      const metrics = { val_loss: loss };
      summary.show(aStatus({ epoch: 2, max_epochs: 10, headline: metrics, metrics, ...more }), now);
      return summary.element.textContent ?? '';
    };
    expect(show(0.5, 0)).toBe('Training, epoch 3 of 10, val loss 0.5000');
    expect(show(0.41, 5_000)).toContain('0.5000');
    expect(show(0.41, 31_000)).toBe('Training, epoch 3 of 10, val loss 0.4100, falling');
    expect(show(0.6, 36_000, { epoch: 3 })).toContain('epoch 3');
    expect(show(0.6, 42_000, { epoch: 3 })).toBe('Training, epoch 4 of 10, val loss 0.6000, rising');
    expect(show(0.601, 80_000, { epoch: 3 })).toContain('steady');
    expect(show(0.601, 80_100, { epoch: 3, state: 'paused' })).toMatch(/^Paused/);
  });
});

describe('after a resume', () => {
  it('marks of the abandoned stretch are set apart, and the best is one that still counts', () => {
    const marks = eventMarks(RESUMED, 'step', same).map(({ kind, at: place, abandoned }) => [kind, place, abandoned]);
    expect(marks).toEqual([
      ['best', 100, false],
      ['checkpoint', 140, true],
      ['warning', 120, false],
      ['checkpoint', 180, false]
    ]);
    expect(eventMarks(RESUMED, 'step', same)[2].words).toBe('slow');
  });

  it('the nearest checkpoint is one of the curve, and its line is Python', () => {
    const checkpoints = checkpointsOf(RESUMED, placing('step', RESUMED));
    expect(nearestCheckpoint(checkpoints, 139)?.path).toBe('a.ckpt');
    expect(nearestCheckpoint(checkpoints, 141)?.path).toBe('c.ckpt');
    expect(nearestCheckpoint([], 1)).toBeNull();
    const odd = { ...checkpoints[0], path: 'C:\\runs\\"a".ckpt' };
    expect(resumeLine(odd)).toBe('trainer.fit(model, ckpt_path="C:\\\\runs\\\\\\"a\\".ckpt")');
  });
});

describe('marks of a schedule', () => {
  const rates = (y: number[]): number[] => {
    const store = new RunStore();
    store.merge(decodePacket(encode([{ name: 'lr-SGD', x: [...y.keys()], y }], aStatus())));
    return rateMarks(store.series.values(), same).map(mark => mark.at);
  };

  it('stand where it jumps, not along a curve', () => {
    expect(rates([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001])).toEqual([3, 6]);
    expect(rates(Array.from({ length: 50 }, (_, i) => 0.1 * 0.9 ** i))).toEqual([]);
    expect(rates([0.1, 0.099, 0.099, 0.099])).toEqual([]);
  });
});

describe('what is copied', () => {
  it('is Markdown that stays a table, and Python that names the run', () => {
    expect(
      markdownTable([
        ['metric', 'last'],
        ['a|b', '1']
      ])
    ).toBe('| metric | last |\n| --- | ---: |\n| a\\|b | 1 |');
    expect(pythonOfNumber('ab12cd34', 'val_acc', 1)).toContain('best = values.max()');
    expect(pythonOfNumber('ab12cd34', 'x', 0)).not.toContain('best');
    expect(pythonOfChart('ab12cd34', ['a', 'b"c'], true)).toContain('for name in ["a", "b\\"c"]:');
    expect(pythonOfChart('ab12cd34', ['a'], true)).toContain('yscale("log")');
  });
});
