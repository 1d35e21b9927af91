/** The model's pace, its memory of the last good answer, and what it announces. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Api, IRun, IStudio, RunState } from './api';

vi.mock('./api', () => ({
  ApiError: class extends Error {
    constructor(
      message: string,
      readonly status: number
    ) {
      super(message);
    }
  }
}));
const { StudioModel } = await import('./model');

let answer: () => Promise<IStudio>;
let looks = 0;
const command = vi.fn();

function run(state: RunState, notebook = 'train.ipynb'): IRun {
  return {
    id: 'abcd1234',
    name: 'version_0',
    directory: 'lightning_logs/version_0',
    notebook,
    created: 0,
    status: { state, stage: 'train' }
  } as IRun;
}

function studio(...runs: IRun[]): IStudio {
  return {
    time: 0,
    devices: [],
    host: { cpu_percent: 1, memory_used: 1, memory_total: 2 },
    kernels: [],
    runs
  };
}

function make(): InstanceType<typeof StudioModel> {
  const api = {
    studio: () => {
      looks += 1;
      return answer();
    },
    command
  };
  return new StudioModel(api as unknown as Api);
}

const seconds = (n: number): Promise<unknown> => vi.advanceTimersByTimeAsync(n * 1000);

beforeEach(() => {
  vi.useFakeTimers();
  looks = 0;
  command.mockReset().mockResolvedValue('id');
  answer = () => Promise.resolve(studio());
});
afterEach(() => vi.useRealTimers());

describe('pace', () => {
  it('is seldom when nobody looks and nothing trains', async () => {
    const model = make();
    await seconds(60);
    expect(looks).toBeGreaterThanOrEqual(3);
    expect(looks).toBeLessThanOrEqual(6);
    model.dispose();
  });

  it('is every two seconds while watched, and seldom again after', async () => {
    const model = make();
    await seconds(1);
    const watch = model.watch();
    looks = 0;
    await seconds(20);
    expect(looks).toBeGreaterThanOrEqual(9);
    expect(looks).toBeLessThanOrEqual(12);
    watch.dispose();
    await seconds(3);
    looks = 0;
    await seconds(30);
    expect(looks).toBeLessThanOrEqual(3);
    model.dispose();
  });

  it('is every two seconds while a run is active', async () => {
    answer = () => Promise.resolve(studio(run('running')));
    const model = make();
    await seconds(1);
    looks = 0;
    await seconds(20);
    expect(looks).toBeGreaterThanOrEqual(9);
    model.dispose();
  });

  it('backs off from a server that does not answer', async () => {
    answer = () => Promise.reject(new Error('gone'));
    const model = make();
    model.watch();
    await seconds(120);
    expect(looks).toBeLessThan(30);
    model.dispose();
  });

  it('ends with the model', async () => {
    const model = make();
    model.watch();
    await seconds(5);
    model.dispose();
    looks = 0;
    await seconds(60);
    expect(looks).toBe(0);
  });
});

describe('answers', () => {
  it('keep the last good one beside the error, and forget the error after', async () => {
    const model = make();
    void model.refresh();
    await seconds(1);
    const asOf = model.asOf;
    answer = () => Promise.reject(new Error('gone'));
    void model.refresh();
    await seconds(1);
    expect(model.error?.message).toContain('gone');
    expect(model.data).not.toBeNull();
    expect(model.asOf).toBe(asOf);
    answer = () => Promise.resolve(studio());
    void model.refresh();
    await seconds(1);
    expect(model.error).toBeNull();
    expect(model.asOf).toBeGreaterThan(asOf);
    model.dispose();
  });

  it('announce a run that was active and is no longer, once', async () => {
    answer = () => Promise.resolve(studio(run('running')));
    const model = make();
    const ended: string[] = [];
    model.runEnded.connect((_, end) => ended.push(end.run.status.state));
    await seconds(1);
    expect(model.activeRunOf('train.ipynb')?.id).toBe('abcd1234');
    expect(model.activeRunOf('other.ipynb')).toBeUndefined();
    answer = () => Promise.resolve(studio(run('finished')));
    await seconds(10);
    expect(ended).toEqual(['finished']);
    expect(model.activeRuns).toEqual([]);
    model.dispose();
  });

  it('say nothing about runs that had ended before the first look', async () => {
    answer = () => Promise.resolve(studio(run('finished')));
    const model = make();
    const ended = vi.fn();
    model.runEnded.connect(ended);
    await seconds(40);
    expect(ended).not.toHaveBeenCalled();
    model.dispose();
  });
});

describe('requests', () => {
  it('are pending until their effect is seen', async () => {
    answer = () => Promise.resolve(studio(run('running')));
    const model = make();
    await seconds(1);
    await model.command(run('running'), 'pause');
    expect(command).toHaveBeenCalledWith('abcd1234', 'pause', {}, 'lightning_logs/version_0');
    expect(model.pending('abcd1234')).toBe('pause');
    answer = () => Promise.resolve(studio(run('paused')));
    await seconds(1);
    expect(model.pending('abcd1234')).toBeUndefined();
    model.dispose();
  });

  it('are given up when they show no effect', async () => {
    answer = () => Promise.resolve(studio(run('running')));
    const model = make();
    await seconds(1);
    await model.command(run('running'), 'stop');
    await seconds(20);
    expect(model.pending('abcd1234')).toBeUndefined();
    model.dispose();
  });

  it('that are refused are not pending, and the caller learns why', async () => {
    answer = () => Promise.resolve(studio(run('running')));
    const model = make();
    await seconds(1);
    command.mockRejectedValue(new Error('409'));
    await expect(model.command(run('running'), 'pause')).rejects.toThrow('409');
    expect(model.pending('abcd1234')).toBeUndefined();
    model.dispose();
  });
});
