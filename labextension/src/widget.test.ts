/**
 * The widget's comm as a source: questions find their answers, and the first messages are repeated.
 * It must not load the view.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommSource, WidgetModel } from './widget';

type Sent = Record<string, unknown> & { t: string; seq?: number };
type Listener = Parameters<WidgetModel['on']>[1];

class FakeModel implements WidgetModel {
  sent: Sent[] = [];
  listeners = new Set<Listener>();
  get = (): unknown => '';
  send = (message: object): number => this.sent.push(message as Sent);
  on = (_: string, listener: Listener): unknown => this.listeners.add(listener);
  off = (_: string, listener: Listener): unknown => this.listeners.delete(listener);

  answer(message: { t: string; seq?: number | null; message?: string }, ...bytes: number[][]): void {
    // As it comes over the wire: a view into a larger buffer.
    const views = bytes.map(each => new DataView(Uint8Array.from([99, ...each, 99]).buffer, 1, each.length));
    [...this.listeners].forEach(listener => listener(message, views));
  }
}

let model: FakeModel;
let source: CommSource;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  source = new CommSource(model);
});
afterEach(() => {
  source.dispose();
  vi.useRealTimers();
});

describe('CommSource', () => {
  it('says hello every 600 ms until the kernel hears it', async () => {
    const ready = source.ready();
    await vi.advanceTimersByTimeAsync(1900);
    expect(model.sent.map(({ t }) => t)).toEqual(['hello', 'hello', 'hello', 'hello']);
    expect(new Set(model.sent.map(({ id }) => id)).size).toBe(1);
    model.answer({ t: 'ready' });
    await ready;
    await vi.advanceTimersByTimeAsync(5000);
    expect(model.sent.length).toBe(4);
  });

  it('gives each question its own answer, in whatever order they come', async () => {
    const first = source.packet({ width: 512 });
    const second = source.packet({ width: 1024 });
    expect(model.sent).toMatchObject([
      { t: 'ask', query: { width: 512 } },
      { t: 'ask', query: { width: 1024 } }
    ]);
    model.answer({ t: 'packet', seq: model.sent[1].seq }, [2, 2]);
    model.answer({ t: 'packet', seq: model.sent[0].seq }, [1]);
    expect([...new Uint8Array(await first)]).toEqual([1]);
    expect([...new Uint8Array(await second)]).toEqual([2, 2]);
  });

  it('sends commands, and rejects with the words of the kernel', async () => {
    const command = source.command('set_lr', { value: 0.1 });
    expect(model.sent[0]).toMatchObject({ t: 'command', name: 'set_lr', arguments: { value: 0.1 } });
    model.answer({ t: 'error', seq: model.sent[0].seq, message: 'The run is over' });
    await expect(command).rejects.toThrow('The run is over');
    const other = source.command('pause');
    model.answer({ t: 'done', seq: model.sent[1].seq });
    await expect(other).resolves.toBeUndefined();
  });

  it('gives up on an answer that does not come, and on one that is no longer wanted', async () => {
    const late = source.packet({});
    late.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(9000);
    await expect(late).rejects.toThrow('does not answer');
    const abort = new AbortController();
    const unwanted = source.packet({}, abort.signal);
    abort.abort();
    await expect(unwanted).rejects.toThrow('No longer wanted');
    model.answer({ t: 'packet', seq: model.sent[1].seq }, [1]); // too late: nobody minds
  });

  it('holds no listener on the signal of a question that was answered', async () => {
    const abort = new AbortController();
    const remove = vi.spyOn(abort.signal, 'removeEventListener');
    const packet = source.packet({}, abort.signal);
    model.answer({ t: 'packet', seq: model.sent[0].seq }, [1]);
    await packet;
    expect(remove).toHaveBeenCalledOnce();
  });

  it('asks for the view and hands over its script', async () => {
    const script = source.viewScript();
    model.answer({ t: 'view' }, [7, 8, 9]);
    expect([...new Uint8Array(await script)]).toEqual([7, 8, 9]);
  });

  it('says why the view can’t be had', async () => {
    const script = source.viewScript();
    model.answer({ t: 'error', seq: null, message: 'It has not been built' });
    await expect(script).rejects.toThrow('not been built');
  });

  it('lets go of everything when it is closed', async () => {
    const packet = source.packet({});
    const ready = source.ready();
    source.dispose();
    await expect(packet).rejects.toThrow('closed');
    await expect(ready).rejects.toThrow('closed');
    expect(model.listeners.size).toBe(0);
    const sent = model.sent.length;
    await vi.advanceTimersByTimeAsync(5000);
    expect(model.sent.length).toBe(sent);
  });
});
