/** Numbers and states in words. */
import { describe, expect, it } from 'vitest';
import type { IRun, IRunStatus } from './api';
import * as format from './format';

const plain = (text: string): string => text.replace(/\u00a0/g, ' ');

function status(changes: Partial<IRunStatus> = {}): IRunStatus {
  return {
    state: 'running',
    stage: 'train',
    step: 0,
    planned_steps: null,
    epoch: 0,
    max_epochs: null,
    batch: 0,
    batches: null,
    rate: 0,
    eta: null,
    active: 0,
    learning_rate: null,
    device: 'cpu',
    started: 0,
    updated: 0,
    headline: {},
    metrics: {},
    error: '',
    ...changes
  };
}

function run(changes: Partial<IRunStatus>): IRun {
  return { id: 'abcd1234', name: 'version_0', directory: '', notebook: '', created: 0, status: status(changes) };
}

describe('durations', () => {
  it.each([
    [0, '0 s'],
    [59.9, '59 s'],
    [184, '3 m 04 s'],
    [7500, '2 h 05 m'],
    [-3, '0 s']
  ])('elapsed %d', (seconds, words) => expect(plain(format.elapsed(seconds))).toBe(words));

  it.each([
    [0.2, '~1 s'],
    [19.4, '~19 s'],
    [43, '~45 s'],
    [91, '~2 min'],
    [3540, '~59 min'],
    [3599, '~1 h'],
    [4800, '~1 h 20 min'],
    [7199, '~2 h']
  ])('roughly %d', (seconds, words) => expect(plain(format.roughly(seconds))).toBe(words));

  it.each([
    [3, 'now'],
    [50, '1 min ago'],
    [5400, '2 h ago'],
    [200000, '2 d ago']
  ])('ago %d', (seconds, words) => expect(plain(format.ago(seconds))).toBe(words));
});

describe('sizes and shares', () => {
  it.each([
    [512, '512 B'],
    [812 * 2 ** 20, '812 MB'],
    [1.6 * 2 ** 30, '1.6 GB'],
    [96 * 2 ** 30, '96 GB'],
    [1010 * 2 ** 20, '1.0 GB']
  ])('bytes %d', (value, words) => expect(plain(format.bytes(value))).toBe(words));

  it('writes the unit of two sizes once', () => {
    expect(plain(format.bytesOf(5.1 * 2 ** 30, 16 * 2 ** 30))).toBe('5.1 / 16 GB');
    expect(plain(format.bytesOf(0, 139 * 2 ** 30))).toBe('0.0 / 139 GB');
  });

  it('says 100 % only when it is done', () => {
    expect(plain(format.percent(0.9999))).toBe('99 %');
    expect(plain(format.percent(1))).toBe('100 %');
    expect(plain(format.percent(1.2))).toBe('100 %');
  });
});

describe('metrics', () => {
  it.each([
    [0.41234, '0.4123'],
    [12.3456, '12.35'],
    [2, '2'],
    [-0.5, '−0.5000'],
    [0.00012345, '1.23e−4'],
    [12345678, '1.23e7'],
    [0, '0']
  ])('writes %d', (value, words) => expect(format.metric(value)).toBe(words));

  it('shows what is no number', () => {
    expect(format.metric('nan')).toBe('NaN');
    expect(format.metric('-inf')).toBe('−∞');
    expect(format.metric(undefined)).toBe('');
  });

  it('knows a run by its headline metric, else by a loss', () => {
    expect(format.headline(run({ headline: { val_acc: 0.9 }, metrics: { loss: 1, val_acc: 0.9 } }))).toEqual([
      'val_acc',
      0.9
    ]);
    expect(format.headline(run({ metrics: { lr: 0.1, train_loss: 1 } }))).toEqual(['train_loss', 1]);
    expect(format.headline(run({}))).toBeNull();
  });
});

describe('progress', () => {
  it('goes by planned steps, else by epochs, else is unknown', () => {
    expect(format.progress(status({ step: 62, planned_steps: 100, epoch: 1, max_epochs: 10 }))).toBe(0.62);
    expect(format.progress(status({ epoch: 3, max_epochs: 10 }))).toBe(0.3);
    expect(format.progress(status({ step: 62, max_epochs: -1 }))).toBeNull();
    expect(format.progress(status({ state: 'finished' }))).toBe(1);
    expect(format.progress(status({ stage: 'test', batch: 1, batches: 4, step: 9, planned_steps: 9 }))).toBe(0.25);
  });

  it('tells the time left only when the guess is worth something', () => {
    const early = status({ step: 1, planned_steps: 100, eta: 500, active: 1 });
    expect(format.timeLeft(early)).toBe('');
    expect(plain(format.timeLeft({ ...early, step: 10, eta: 240 }))).toBe('~4 min');
    expect(plain(format.timeLeft({ ...early, active: 12, eta: 240 }))).toBe('~4 min');
    expect(format.timeLeft({ ...early, step: 10, state: 'paused' })).toBe('');
  });

  it('counts epochs from one and not beyond the last', () => {
    expect(format.place(status({ epoch: 0, max_epochs: 3 }))).toBe('epoch 1/3');
    expect(format.place(status({ epoch: 3, max_epochs: 3 }))).toBe('epoch 3/3');
    expect(format.place(status({ step: 1240 }))).toBe('step 1,240');
    expect(format.place(status({ stage: 'test' }))).toBe('testing');
  });
});

describe('notebooks', () => {
  it('are the same by path, or by the end of a path on disk', () => {
    expect(format.isNotebook('guide/a.ipynb', 'guide/a.ipynb')).toBe(true);
    expect(format.isNotebook('/srv/work/guide/a.ipynb', 'guide/a.ipynb')).toBe(true);
    expect(format.isNotebook('guide/a.ipynb', 'RTC:guide/a.ipynb')).toBe(true);
  });

  it('differ by folder or by a part of a name', () => {
    expect(format.isNotebook('guide/a.ipynb', 'a.ipynb/guide')).toBe(false);
    expect(format.isNotebook('guide/ba.ipynb', 'a.ipynb')).toBe(false);
    expect(format.isNotebook('', 'a.ipynb')).toBe(false);
  });
});
