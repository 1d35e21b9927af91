/**
 * The dashboard as a person meets it: what it says, its buttons and keys, and that it leaves nothing behind.
 * It must not test how curves look: a browser does.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Dashboard, DashboardOptions, mountDashboard } from './dashboard';
import type { RunEvent } from './packet';
import type { CommandName, PacketQuery, RunSource, RunStatus } from './source';
import { aStatus, Curve, encode } from './testing/packets';
import { drawings, emit } from './testing/plotly';

class FakeRun implements RunSource {
  status = aStatus({ headline: { train_loss: 0.5, val_acc: 0.8 }, metrics: { train_loss: 0.5, val_acc: 0.8 } });
  curves: Curve[] = [
    { name: 'train_loss', x: [0, 1, 2], y: [3, 2, 0.5], progBar: true },
    { name: 'val_acc', x: [1, 2], y: [0.9, 0.8], progBar: true }
  ];
  events: RunEvent[] = [];
  asked: PacketQuery[] = [];
  commands: [CommandName, unknown][] = [];
  broken = '';

  packet(query: PacketQuery): Promise<ArrayBuffer> {
    this.asked.push(query);
    const known = query.events ?? 0;
    return this.broken
      ? Promise.reject(new Error(this.broken))
      : Promise.resolve(encode(this.curves, this.status, this.events.slice(known), this.events.length));
  }

  command(name: CommandName, args?: Record<string, unknown>): Promise<void> {
    this.commands.push([name, args]);
    return this.broken ? Promise.reject(new Error(this.broken)) : Promise.resolve();
  }
}

let run: FakeRun;
let host: HTMLElement;
let dashboard: Dashboard;

beforeEach(() => {
  vi.useFakeTimers();
  drawings.length = 0;
  vi.stubGlobal(
    'IntersectionObserver',
    class {
      constructor(private readonly seen: (entries: object[]) => void) {}
      observe(target: Element): void {
        this.seen([{ target, isIntersecting: true }]);
      }
      unobserve(): void {}
      disconnect(): void {}
    }
  );
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(600);
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(200);
  run = new FakeRun();
  window.localStorage.clear();
  host = document.createElement('div');
  document.body.append(host);
});

afterEach(() => {
  dashboard.dispose();
  host.remove();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function mount(options: DashboardOptions = {}): Promise<void> {
  dashboard = mountDashboard(host, run, options);
  await pass(400);
}

function pass(ms: number): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(ms);
}

function find<T extends HTMLElement>(selector: string): T {
  const found = host.querySelector<T>(selector);
  if (!found) {
    throw new Error(`no ${selector}`);
  }
  return found;
}

function text(selector: string): string {
  return find(selector).textContent ?? '';
}

function press(key: string, target: Element = find('.lit-dashboard')): KeyboardEvent {
  const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, composed: true });
  target.dispatchEvent(event);
  return event;
}

function becomes(changes: Partial<RunStatus>): Promise<unknown> {
  run.status = { ...run.status, ...changes };
  return pass(1100);
}

describe('the dashboard', () => {
  it('tells state, place, numbers and where it is saved', async () => {
    await mount({ directory: 'lightning_logs/version_7' });
    expect(text('.lit-state-word')).toBe('Training');
    expect(text('.lit-place')).toBe('epoch 1/2');
    expect(text('.lit-step')).toBe('step 10 of 100');
    expect(text('.lit-speed')).toBe('20 steps/s');
    expect(find('[role=progressbar]').getAttribute('aria-valuenow')).toBe('10');
    expect(text('.lit-headline')).toContain('val_acc ↑0.8000best 0.9000 @ 1');
    expect(text('.lit-headline')).toContain('train_loss ↓0.5000best so far');
    expect(text('.lit-machine')).toContain('data wait 2');
    expect(text('.lit-whereabouts')).toBe('saving to lightning_logs/version_7');
    expect(find('.lit-empty').hidden).toBe(true);
    await becomes({ state: 'finished' });
    expect(text('.lit-whereabouts')).toBe('saved to lightning_logs/version_7');
  });

  it('draws a chart a family, and what is added without plotly.js', async () => {
    await mount();
    expect([...host.querySelectorAll('.lit-chart')].map(chart => chart.getAttribute('data-family'))).toEqual([
      'loss',
      'accuracy'
    ]);
    expect(find('.lit-charts-first').children.length).toBe(1);
    const before = drawings.length;
    const x = Array.from({ length: 60 }, (_, i) => i);
    run.curves[0] = { name: 'train_loss', x, y: x.map(i => i % 3) };
    await pass(1500);
    run.curves[0] = { name: 'train_loss', x: [60, 61], y: [1, 2], start: 60, total: 62 };
    await pass(1500);
    expect(drawings.length).toBe(before);
    expect(host.querySelector('.tracem0 .js-line')?.getAttribute('d')?.split('L').length).toBe(62);
  });

  it('waits for the first step in words', async () => {
    run.curves = [];
    run.status = aStatus({ step: 0, batch: 0, started: Date.now() / 1000 - 12 });
    await mount();
    expect(text('.lit-empty')).toMatch(/waiting for the first step: loading data\s12\ss/);
    expect(text('.lit-state-word')).toBe('Starting');
  });

  it('keeps what it has when the source is away, says since when, and recovers', async () => {
    await mount();
    run.broken = 'The server does not answer';
    await pass(2000);
    expect(text('.lit-connection')).toMatch(/^as of .*, reconnecting…$/);
    expect(host.querySelectorAll('.lit-chart').length).toBe(2);
    run.broken = '';
    await pass(6000);
    expect(find('.lit-connection').hidden).toBe(true);
  });

  it('shows the error of a failed run, and its mark', async () => {
    await mount();
    run.events.push({ event: 'RunEnded', time: 1, step: 2, epoch: 0, state: 'failed', error: 'ValueError: no' });
    await becomes({ state: 'failed', error: 'ValueError: no' });
    expect(text('.lit-error')).toBe('ValueError: no');
    expect(host.querySelectorAll('.lit-mark.lit-mod-failure').length).toBeGreaterThan(0);
    expect(find('[data-act=stop]').title).toBe('The run has failed');
  });

  it('shows an evaluation without charts and buttons, with its table open', async () => {
    run.status = aStatus({ stage: 'test', metrics: { test_acc: 0.97 }, max_epochs: null, state: 'finished' });
    run.curves = [];
    await mount({ kind: 'evaluation' });
    expect(host.querySelector('.lit-chart')).toBeNull();
    expect(find('.lit-controls').hidden).toBe(true);
    expect(text('.lit-table')).toContain('test_acc0.9700');
    expect(drawings).toEqual([]);
  });

  it('tells once that the run has ended', async () => {
    const onEnded = vi.fn();
    await mount({ onEnded });
    expect(onEnded).not.toHaveBeenCalled();
    await becomes({ state: 'stopped' });
    await pass(5000);
    expect(onEnded).toHaveBeenCalledOnce();
  });

  it('says everything through the translator', async () => {
    const said = new Set<string>();
    const trans = (sentence: string): string => (said.add(sentence), `«${sentence}»`);
    await mount({ trans });
    expect(text('.lit-state-word')).toBe('«Training»');
    expect(text('.lit-step')).toBe('«step 10 of 100»');
    expect(said.has('epoch %1/%2')).toBe(true);
  });

  it('leaves nothing behind', async () => {
    await mount();
    dashboard.dispose();
    const asked = run.asked.length;
    await pass(5000);
    expect(run.asked.length).toBe(asked);
    expect(host.childElementCount).toBe(0);
    expect(press(' ', document.body).defaultPrevented).toBe(false);
  });
});

describe('the buttons', () => {
  it('pause and resume, with what was asked for shown until an event confirms it', async () => {
    await mount();
    find('[data-act=pause]').click();
    await pass(0);
    expect(text('.lit-state-word')).toBe('Pausing…');
    expect(find('[data-act=pause]').getAttribute('aria-busy')).toBe('true');
    run.events.push({ event: 'CommandApplied', time: 1, step: 10, epoch: 0, name: 'pause', who: 'you' });
    await becomes({ state: 'paused' });
    expect(text('.lit-state-word')).toBe('Paused');
    expect(text('[data-act=resume]')).toBe('Resume');
    find('[data-act=resume]').click();
    expect(run.commands.map(([name]) => name)).toEqual(['pause', 'resume']);
  });

  it('give up waiting after a while, and say so', async () => {
    await mount();
    find('[data-act=save]').click();
    await pass(17_000);
    expect(text('.lit-message')).toMatch(/has not answered/);
    expect(find('[data-act=save]').hasAttribute('aria-busy')).toBe(false);
  });

  it('say why a request could not be sent, or was refused', async () => {
    await mount();
    run.broken = 'The run is not active';
    find('[data-act=stop]').click();
    await pass(10);
    expect(text('.lit-message')).toBe('The run is not active');
    run.broken = '';
    await pass(3000);
    find('[data-act=save]').click();
    run.events.push({ event: 'WarningRaised', time: 1, kind: 'command-refused', message: 'no room on disk' });
    await pass(1500);
    expect(text('.lit-message')).toBe('no room on disk');
  });

  it('do nothing when the run is over, but say why', async () => {
    run.status = aStatus({ state: 'finished' });
    await mount();
    const pause = find('[data-act=pause]');
    expect(pause.getAttribute('aria-disabled')).toBe('true');
    expect(pause.title).toBe('The run has finished');
    pause.click();
    press('s');
    expect(run.commands).toEqual([]);
  });

  it('change the learning rate: field, quick choices, Escape, and back', async () => {
    await mount();
    const open = (): void => find('[data-act=lr]').click();
    const popover = find<HTMLFormElement>('.lit-popover');
    const field = find<HTMLInputElement>('.lit-field');
    open();
    expect(field.value).toBe('0.001');
    field.value = 'fast';
    popover.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(text('.lit-popover-fault')).toMatch(/number/);
    expect(run.commands).toEqual([]);
    field.value = '2e-4';
    popover.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(run.commands).toEqual([['set_lr', { value: 0.0002 }]]);
    expect(popover.hidden).toBe(true);
    const detail = 'lr 0.001 → 0.0002';
    run.events.push({ event: 'CommandApplied', time: 1, step: 12, epoch: 0, name: 'set_lr', who: 'you', detail });
    await becomes({ learning_rate: 0.0002 });
    open();
    popover.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }));
    expect(popover.hidden).toBe(true);
    open();
    [...popover.querySelectorAll('button')].find(button => button.textContent === '×½')?.click();
    expect(run.commands[1]).toEqual(['set_lr', { value: 0.0001 }]);
    run.events.push({ event: 'CommandApplied', time: 2, step: 13, epoch: 0, name: 'set_lr', who: 'you', detail: '' });
    await pass(1100);
    open();
    [...popover.querySelectorAll('button')].find(button => button.textContent === 'back to 0.001')?.click();
    expect(run.commands[2]).toEqual(['set_lr', { value: 0.001 }]);
    expect(host.querySelectorAll('.lit-mark.lit-mod-act').length).toBeGreaterThan(0);
  });
});

describe('the keys', () => {
  it('act while the dashboard has the focus, unheard by the page around it', async () => {
    const around = vi.fn();
    document.addEventListener('keydown', around, true);
    await mount();
    expect(press(' ').defaultPrevented).toBe(true);
    press('s');
    expect(run.commands.map(([name]) => name)).toEqual(['pause', 'save']);
    press('l');
    expect(find('.lit-chartbar > .lit-choice').getAttribute('aria-pressed')).toBe('true');
    press('+');
    expect(text('.lit-amount')).toBe('0.30');
    press('-');
    expect(text('.lit-amount')).toBe('0');
    press('?');
    expect(find('.lit-keys').hidden).toBe(false);
    press('Escape');
    expect(find('.lit-keys').hidden).toBe(true);
    expect(around).not.toHaveBeenCalled();
    document.removeEventListener('keydown', around, true);
  });

  it('leave alone what a button, a field or another program needs', async () => {
    await mount();
    expect(press(' ', find('[data-act=save]')).defaultPrevented).toBe(false);
    find('[data-act=lr]').click();
    expect(press('s', find('.lit-field')).defaultPrevented).toBe(false);
    expect(press('x').defaultPrevented).toBe(false);
    expect(press(' ', document.body).defaultPrevented).toBe(false);
    expect(run.commands).toEqual([]);
  });

  it('move the cursor in a chart', async () => {
    await mount();
    const area = find('.lit-charts-first .lit-chart-area');
    press('ArrowRight', area);
    expect(text('.lit-charts-first .lit-tip')).toMatch(/^step 0train_loss3/);
    press('ArrowLeft', area);
    expect(find('.lit-charts-first .lit-tip').hidden).toBe(false);
  });
});

describe('the charts', () => {
  it('ask for a window column by column, and for the whole run again', async () => {
    const x = Array.from({ length: 128 }, (_, i) => i * 8);
    run.curves[0] = { name: 'train_loss', x, y: x.map(at => at % 3), stride: 16, total: 1024, progBar: true };
    await mount();
    const plot = find('.lit-charts-first .lit-chart-plot');
    const ticks = (): string[] =>
      [...find('.lit-axes').querySelectorAll('.lit-tick')].map(tick => tick.textContent ?? '');
    expect(ticks()).toContain('0');
    expect(ticks()).toContain('200');
    emit(plot, 'plotly_relayout', { 'xaxis.range[0]': 0.5, 'xaxis.range[1]': 0.75 });
    await pass(500);
    const asked = run.asked.find(query => query.x0 !== undefined)!;
    expect(asked).toMatchObject({ axis: 'step', have: '0:1:0' });
    expect(asked.x0).toBeGreaterThan(450);
    expect(asked.x1).toBeLessThan(850);
    expect(asked.width).toBeGreaterThan(400);
    expect(ticks()).not.toContain('0');
    expect(find('.lit-mod-back').hidden).toBe(false);
    emit(plot, 'plotly_doubleclick');
    await pass(500);
    expect(ticks()).toContain('0');
    expect(find('.lit-mod-back').hidden).toBe(true);
  });

  it('hide a line by its legend button, and show one alone with Shift', async () => {
    run.curves.push({ name: 'val_loss', x: [1, 2], y: [1, 1] });
    await mount();
    const [train, val] = host.querySelectorAll<HTMLElement>('.lit-charts-first .lit-legend-item');
    const shown = (): string[] =>
      drawings
        .filter(({ element }) => element === find('.lit-charts-first .lit-chart-plot'))
        .pop()!
        .traces.map(t => t.uid);
    expect(shown()).toEqual(['m0', 'm2']);
    train.click();
    await pass(500);
    expect(shown()).toEqual(['m2']);
    expect(train.getAttribute('aria-pressed')).toBe('false');
    train.dispatchEvent(new MouseEvent('click', { shiftKey: true }));
    await pass(500);
    expect(shown()).toEqual(['m0']);
    expect(val.getAttribute('aria-pressed')).toBe('false');
    train.dispatchEvent(new MouseEvent('click', { shiftKey: true }));
    await pass(500);
    expect(shown()).toEqual(['m0', 'm2']);
  });

  it('ask for all points again along another axis', async () => {
    await mount();
    find('[data-axis=epoch]').click();
    await pass(10);
    expect(run.asked[run.asked.length - 1]).toMatchObject({ axis: 'epoch', have: '0:1:0,1:1:0' });
  });

  it('mark the best validation value, checkpoints and what persons did', async () => {
    run.events = [
      { event: 'CheckpointSaved', time: 1, step: 1, epoch: 0, path: 'a.ckpt', reason: 'monitor', best: true },
      { event: 'CommandApplied', time: 2, step: 2, epoch: 0, name: 'pause', who: 'ada' }
    ];
    await mount();
    const accuracy = find('.lit-charts-others .lit-chart');
    expect(accuracy.querySelectorAll('.lit-best').length).toBe(1);
    expect(accuracy.querySelectorAll('.lit-mark.lit-mod-best').length).toBe(1);
    find<HTMLDetailsElement>('.lit-fold').open = true;
    find('.lit-fold').dispatchEvent(new Event('toggle'));
    expect(text('.lit-events')).toContain('ada paused');
  });

  it('follow the theme', async () => {
    await mount();
    document.body.setAttribute('data-jp-theme-light', 'false');
    await pass(600);
    expect(find('.lit-dashboard').dataset.theme).toBe('dark');
    const colours = drawings.map(({ traces }) => traces[0].line.color);
    expect(colours[colours.length - 1]).not.toBe(colours[0]);
    document.body.removeAttribute('data-jp-theme-light');
  });
});

describe('requests that not every run knows', () => {
  it('have a button only if the run says that it hears them', async () => {
    await mount();
    expect(find('[data-act=abort]').hidden).toBe(true);
    expect(find('[data-act=validate]').hidden).toBe(true);
    expect(find('[data-act=scale-out]').hidden).toBe(true);
    await becomes({ commands: ['pause', 'abort', 'validate'] });
    find('[data-act=validate]').click();
    await pass(0);
    find('[data-act=abort]').click();
    await pass(0);
    expect(run.commands.map(([name]) => name)).toEqual(['validate', 'abort']);
    expect(text('.lit-state-word')).toBe('Stopping now…');
  });

  it('more devices are asked for where there is a dialog', async () => {
    const onScaleOut = vi.fn();
    await mount({ onScaleOut });
    find('[data-act=scale-out]').click();
    expect(onScaleOut).toHaveBeenCalledOnce();
  });
});

describe('many metrics', () => {
  it('get a chart each up to a measure, the first ones open, the rest when asked for', async () => {
    run.curves = Array.from({ length: 2_000 }, (_, i) => ({ name: `metric ${i} x`, x: [0, 1], y: [i, 1] }));
    await mount();
    expect(host.querySelectorAll('.lit-chart').length).toBe(24);
    expect(host.querySelectorAll('.lit-chart-title[aria-expanded=true]').length).toBe(8);
    expect(text('.lit-mod-more')).toBe('show 1976 more charts');
  });
});
