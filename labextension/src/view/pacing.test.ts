/**
 * The source is asked as often as is worth it, and charts are drawn one at a time. It must not draw.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DrawQueue } from './drawing';
import { Feed, PACE } from './feed';
import { aStatus, encode } from './testing/packets';
import type { RunState } from './source';

let hidden = false;

beforeEach(() => {
  vi.useFakeTimers();
  hidden = false;
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
});
afterEach(() => vi.useRealTimers());

function setHidden(value: boolean): void {
  hidden = value;
  document.dispatchEvent(new Event('visibilitychange'));
}

interface Rig {
  feed: Feed;
  asked: number;
  failures: (number | null)[];
  state: RunState;
  news: boolean;
  broken: boolean;
}

function rig(): Rig {
  const held: Rig = { asked: 0, failures: [], state: 'running', news: true, broken: false } as unknown as Rig;
  const packet = (): Promise<ArrayBuffer> => {
    held.asked += 1;
    return held.broken ? Promise.reject(new Error('away')) : Promise.resolve(encode([], aStatus()));
  };
  held.feed = new Feed(
    { packet, command: () => Promise.resolve() },
    {
      query: () => ({}),
      arrived: () => ({ state: held.state, news: held.news }),
      failed: (_, since) => held.failures.push(since)
    }
  );
  return held;
}

/** How often the source is asked while `ms` milliseconds pass, beginning with `act`. */
async function asksWithin(held: Rig, ms: number, act: () => void = () => undefined): Promise<number> {
  const before = held.asked;
  act();
  await vi.advanceTimersByTimeAsync(ms);
  return held.asked - before;
}

describe('Feed', () => {
  it('asks four times a second, once while paused, seldom out of sight', async () => {
    const held = rig();
    held.feed.ask();
    expect(await asksWithin(held, 2000)).toBeGreaterThanOrEqual(8);
    held.state = 'paused';
    await asksWithin(held, 1000);
    expect(await asksWithin(held, 5000)).toBe(5);
    held.state = 'running';
    held.feed.setSeen(false);
    await asksWithin(held, 2000);
    expect(await asksWithin(held, 10 * PACE.away)).toBe(10);
    expect(await asksWithin(held, 1, () => held.feed.setSeen(true))).toBe(1);
    held.feed.dispose();
  });

  it('slows down when nothing moves', async () => {
    const held = rig();
    held.news = false;
    held.feed.ask();
    await asksWithin(held, 12_000);
    expect(await asksWithin(held, 5000)).toBe(5);
    held.feed.dispose();
  });

  it('looks closely after a request, also while paused', async () => {
    const held = rig();
    held.state = 'paused';
    held.feed.ask();
    await asksWithin(held, 1500);
    held.feed.hurry();
    expect(await asksWithin(held, 250)).toBeGreaterThanOrEqual(4);
    await asksWithin(held, 3000);
    expect(await asksWithin(held, 3000)).toBe(3);
    held.feed.dispose();
  });

  it('does nothing while the page is hidden, and looks at once when it is back', async () => {
    const held = rig();
    held.feed.ask();
    await asksWithin(held, 1000);
    setHidden(true);
    await asksWithin(held, 500);
    expect(await asksWithin(held, 60_000)).toBe(0);
    expect(await asksWithin(held, 1, () => setHidden(false))).toBe(1);
    held.feed.dispose();
  });

  it.each(['finished', 'stopped', 'interrupted', 'failed'] as const)('stops when the run has %s', async state => {
    const held = rig();
    held.state = state;
    expect(await asksWithin(held, 60_000, () => held.feed.ask())).toBe(1);
    expect(await asksWithin(held, 60_000, () => held.feed.ask())).toBe(1); // for another axis, say
    held.feed.dispose();
  });

  it('tries again ever more slowly, tells since when, and recovers', async () => {
    const held = rig();
    held.feed.ask();
    await asksWithin(held, 300);
    held.broken = true;
    await asksWithin(held, 60_000);
    expect(held.failures.length).toBeGreaterThan(8);
    expect(held.failures.length).toBeLessThan(20);
    expect(held.failures.every(since => since !== null)).toBe(true);
    held.broken = false;
    await asksWithin(held, PACE.retryMost);
    expect(await asksWithin(held, 1000)).toBeGreaterThanOrEqual(3);
    held.feed.dispose();
    expect(await asksWithin(held, 10_000)).toBe(0);
  });
});

describe('DrawQueue', () => {
  type Item = { element: Element; name: string };
  let report: (entries: Partial<IntersectionObserverEntry>[]) => void;

  beforeEach(() => {
    vi.stubGlobal(
      'IntersectionObserver',
      class {
        constructor(callback: (entries: Partial<IntersectionObserverEntry>[]) => void) {
          report = callback;
        }
        observe(): void {}
        unobserve(): void {}
        disconnect(): void {}
      }
    );
  });
  afterEach(() => vi.unstubAllGlobals());

  function items(...names: string[]): Item[] {
    return names.map(name => ({ element: document.createElement('div'), name }));
  }

  it('draws one at a time, only what is seen, and goes on after a failure', async () => {
    const drawn: string[] = [];
    const failed = vi.fn();
    let running = 0;
    const queue = new DrawQueue<Item>(async ({ name }) => {
      running += 1;
      expect(running).toBe(1);
      await new Promise(resolve => setTimeout(resolve, 10));
      running -= 1;
      if (name === 'b') {
        throw new Error('no');
      }
      drawn.push(name);
    }, failed);
    const [a, b, c, d] = items('a', 'b', 'c', 'd');
    [a, b, c, d].forEach(item => queue.add(item));
    report([a, b, c].map(({ element }) => ({ target: element, isIntersecting: true })));
    [a, b, c, d, a].forEach(item => queue.ask(item));
    await vi.advanceTimersByTimeAsync(2000);
    expect(drawn).toEqual(['a', 'c', 'a'].slice(0, drawn.length));
    expect(drawn).toContain('c');
    expect(failed).toHaveBeenCalledOnce();
    report([{ target: d.element, isIntersecting: true }]);
    await vi.advanceTimersByTimeAsync(500);
    expect(drawn).toContain('d');
    queue.dispose();
  });

  it('rests three times as long as a drawing took', async () => {
    const times: number[] = [];
    const queue = new DrawQueue<Item>(
      async () => {
        times.push(performance.now());
        await new Promise(resolve => setTimeout(resolve, 20));
      },
      () => undefined
    );
    const all = items('a', 'b');
    all.forEach(item => queue.add(item));
    report(all.map(({ element }) => ({ target: element, isIntersecting: true })));
    all.forEach(item => queue.ask(item));
    await vi.advanceTimersByTimeAsync(1000);
    const passed = times[1] - times[0]; // 20 of drawing, two frames, and 60 of rest
    expect(passed).toBeGreaterThanOrEqual(80 + 16);
    expect(passed).toBeLessThanOrEqual(80 + 40);
    queue.dispose();
  });

  it('goes on drawing when frames come later than it waits for them', async () => {
    const drawn: number[] = [];
    const queue = new DrawQueue<Item>(
      () => Promise.resolve(void drawn.push(performance.now())),
      () => undefined
    );
    vi.stubGlobal('requestAnimationFrame', (then: () => void) => setTimeout(then, 170));
    const [item] = items('a');
    queue.add(item);
    report([{ target: item.element, isIntersecting: true }]);
    for (let i = 0; i < 20; i++) {
      queue.ask(item);
      await vi.advanceTimersByTimeAsync(700);
    }
    expect(drawn.length).toBe(20);
    queue.dispose();
  });

  it('draws nothing while the page is hidden', async () => {
    const draw = vi.fn(() => Promise.resolve());
    const queue = new DrawQueue<Item>(draw, () => undefined);
    const [a] = items('a');
    queue.add(a);
    setHidden(true);
    report([{ target: a.element, isIntersecting: true }]);
    queue.ask(a);
    await vi.advanceTimersByTimeAsync(1000);
    expect(draw).not.toHaveBeenCalled();
    setHidden(false);
    await vi.advanceTimersByTimeAsync(100);
    expect(draw).toHaveBeenCalledOnce();
    queue.dispose();
  });
});
