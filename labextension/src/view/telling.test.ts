/**
 * What the dashboard says is true and in time: the wait, events in words, marks. It must not touch the DOM.
 */
import { describe, expect, it } from 'vitest';
import { statusOf } from './episode';
import { EtaWatch } from './eta';
import { eventMarks, placing } from './marks';
import type { RunEvent } from './packet';
import { aStatus } from './testing/packets';
import { actWords, eventWords, rateText, say, speedText, stateWords, whyInactive } from './words';

const same = (sentence: string): string => sentence;

/** Follow guesses (seconds) that come every 250 ms; the waits shown after each. */
function waits(guesses: number[], changes = {}): (number | null)[] {
  const watch = new EtaWatch();
  return guesses.map((eta, i) => {
    watch.follow(aStatus({ eta, ...changes }), i * 250);
    return watch.wait(i * 250)?.seconds ?? null;
  });
}

describe('EtaWatch', () => {
  const steady = Array.from({ length: 40 }, (_, i) => 60 - i * 0.25);

  it('says nothing until its guesses agree for three seconds', () => {
    const shown = waits(steady);
    expect(shown.slice(0, 12)).toEqual(Array(12).fill(null));
    expect(shown[13]).toBeCloseTo(60 - 13 * 0.25);
    const wild = steady.map((eta, i) => (i % 2 ? eta * 2 : eta));
    expect(waits(wild).every(wait => wait === null)).toBe(true);
  });

  it('stands still rather than creep up', () => {
    const shown = waits([...steady, 52, 52.5, 53]);
    const last = shown.slice(-4) as number[];
    expect(Math.max(...last)).toBe(last[0]);
  });

  it('jumps up only with a reason', () => {
    const watch = new EtaWatch();
    steady.forEach((eta, i) => watch.follow(aStatus({ eta }), i * 250));
    watch.follow(aStatus({ eta: 90, stage: 'validate' }), 10_000);
    expect(watch.wait(10_000)).toEqual({ seconds: 90, reason: 'validation' });
    expect(watch.wait(21_000)?.reason).toBe('');
    watch.follow(aStatus({ eta: 200, data_wait: 0.5 }), 21_000);
    expect(watch.wait(21_000)?.reason).toBe('data');
    watch.follow(aStatus({ eta: 400, data_wait: 0.5 }), 22_000);
    expect(watch.wait(22_000)?.reason).toBe('slower');
  });

  it('forgets when the run is over, and waits again after a pause', () => {
    const watch = new EtaWatch();
    steady.forEach((eta, i) => watch.follow(aStatus({ eta }), i * 250));
    watch.follow(aStatus({ eta: 50, state: 'paused' }), 10_000);
    expect(watch.wait(10_000)).toBeNull();
    watch.follow(aStatus({ eta: null, state: 'finished' }), 11_000);
    watch.follow(aStatus({ eta: 500 }), 11_250);
    expect(watch.wait(11_250)).toBeNull();
  });
});

const EVENTS: RunEvent[] = [
  { event: 'RunStarted', time: 100, step: 0, epoch: 0, stage: 'train', device: 'cpu' },
  { event: 'CommandApplied', time: 104, step: 40, epoch: 0, name: 'set_lr', who: 'you', detail: 'lr 0.001 → 0.0005' },
  { event: 'EpochEnded', time: 110, step: 100, epoch: 0 },
  { event: 'CheckpointSaved', time: 111, step: 100, epoch: 0, path: '/a/b/last.ckpt', reason: 'monitor', best: true },
  { event: 'WarningRaised', time: 112, step: 120, epoch: 1, kind: 'non-finite', message: 'train_loss is NaN' },
  { event: 'Paused', time: 113, step: 130, epoch: 1 },
  { event: 'RunEnded', time: 115, step: 150, epoch: 1, state: 'failed', error: 'ValueError: bad\nmore' }
];

describe('events', () => {
  it('become words, and what tells a person nothing stays silent', () => {
    expect(EVENTS.map(event => eventWords(event, same))).toEqual([
      'training started on cpu',
      'you set lr 0.001 → 0.0005',
      '',
      'checkpoint last.ckpt saved, the best so far',
      'train_loss is NaN',
      '',
      'failed: ValueError: bad'
    ]);
    expect(actWords('pause', 'ada', '', same)).toBe('ada paused');
  });

  it('become marks where they happened, on every axis', () => {
    const on = (axis: 'step' | 'epoch' | 'time'): [string, number][] =>
      eventMarks(EVENTS, axis, same).map(({ kind, at }) => [kind, at]);
    expect(on('step')).toEqual([
      ['act', 40],
      ['best', 100],
      ['failure', 150]
    ]);
    expect(on('epoch')).toEqual([
      ['act', 0.4],
      ['best', 1],
      ['failure', 1.5]
    ]);
    expect(on('time')).toEqual([
      ['act', 104],
      ['best', 111],
      ['failure', 115]
    ]);
  });

  it('have no place where nothing tells it', () => {
    expect(placing('step', [])({ event: 'X', time: 1 })).toBeNull();
    expect(placing('epoch', [])({ event: 'X', time: 1, step: 7, epoch: 3 })).toBe(3);
    expect(placing('samples', [])(EVENTS[1])).toBeNull();
  });
});

describe('words', () => {
  it('go through the translator with their places', () => {
    expect(say(() => '%2 nach %1', '%1 to %2', 'a', 'b')).toBe('b nach a');
  });

  it('tell the state', () => {
    expect(stateWords(aStatus(), same)).toBe('Training');
    expect(stateWords(aStatus({ stage: 'validate' }), same)).toBe('Validating');
    expect(stateWords(aStatus({ step: 0, batch: 0 }), same)).toBe('Starting');
    expect(stateWords(aStatus({ state: 'lost' }), same)).toBe('Lost');
    expect(whyInactive(aStatus(), same)).toBe('');
    expect(whyInactive(aStatus({ state: 'lost' }), same)).toMatch(/gone/);
    expect(whyInactive(null, same)).toMatch(/not started/);
  });

  it('tell rates and speeds', () => {
    expect([0.001, 5e-4, 3e-5, 1, 0, null].map(rateText)).toEqual(['0.001', '0.0005', '3e−5', '1', '0', '–']);
    expect(speedText(1310, 'train', same)).toBe('1,310 steps/s');
    expect(speedText(4, 'test', same)).toBe('4 batches/s');
    expect(speedText(0.2, 'train', same)).toBe('5 s/step');
  });
});

describe('statusOf', () => {
  const fit: RunEvent[] = [
    { event: 'RunStarted', time: 100, step: 0, epoch: 0, stage: 'train', max_epochs: 2, device: 'cpu' },
    {
      event: 'RunEnded',
      time: 160,
      step: 200,
      epoch: 2,
      state: 'finished',
      stage: 'train',
      error: '',
      metrics: { a: 1 }
    }
  ];
  const test: RunEvent[] = [
    { event: 'RunStarted', time: 161, step: 200, epoch: 2, stage: 'test', max_epochs: null, device: 'cpu' },
    {
      event: 'RunEnded',
      time: 162,
      step: 200,
      epoch: 2,
      state: 'failed',
      stage: 'test',
      error: 'no',
      metrics: { b: 2 }
    }
  ];
  const series = [
    { name: 'a', progBar: true, last: 0.9 },
    { name: 'train_loss', progBar: true, last: 0.25 },
    { name: 'test_acc', progBar: true, last: 0.5 },
    { name: 'lr', progBar: false, last: 0.1 }
  ];
  const now = aStatus({ state: 'failed', stage: 'test', step: 200, metrics: { b: 2 }, error: 'no' });

  it('is what it is while nothing else has run there', () => {
    const running = aStatus();
    expect(statusOf(running, [], [], true)).toBe(running);
    expect(statusOf(running, fit.slice(0, 1), series, true)).toBe(running);
    expect(statusOf(running, test.slice(0, 1), series, true)).toBe(running);
  });

  it('of a fit stays that of the fit when a test follows', () => {
    const shown = statusOf(now, [...fit, ...test], series, true);
    expect(shown).toMatchObject({ state: 'finished', stage: 'train', step: 200, max_epochs: 2, error: '' });
    expect(shown.updated - shown.started).toBe(60);
    expect(shown.headline).toEqual({ a: 1, train_loss: 0.25 });
    expect(shown.metrics).toEqual({ a: 1 });
  });

  it('of a test has the test’s numbers only', () => {
    expect(statusOf(now, [...fit, ...test], series, false)).toMatchObject({
      state: 'failed',
      metrics: { b: 2 },
      headline: {}
    });
    const other = [...fit, ...test, ...fit];
    expect(statusOf(aStatus(), other, series, false)).toMatchObject({
      state: 'failed',
      stage: 'test',
      metrics: { b: 2 }
    });
  });

  it('of one that died before the next began is lost', () => {
    expect(statusOf(now, [fit[0], ...test], series, true).state).toBe('lost');
    expect(statusOf(now, [fit[0], test[0]], series, true).state).toBe('lost');
  });
});
