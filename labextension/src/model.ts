/**
 * The studio's live state: looks at the server at a fitting pace and tells whoever listens.
 * It must not know what is drawn from it.
 */
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';
import { Api, ApiError, CommandName, IRun, IStudio } from './api';
import { isActive, isNotebook } from './format';
import type { IRunEnd, IStudioModel, IStudioOptions } from './tokens';

const SECOND = 1000;
/** Nobody looks and nothing trains: seldom enough not to be felt, often enough to notice a script's run. */
const IDLE_INTERVAL = 15 * SECOND;
const LONGEST_INTERVAL = 30 * SECOND;
/** A request that has shown no effect after this time is no longer called pending. */
const PENDING_FOR = 15 * SECOND;

export const DEFAULT_OPTIONS: IStudioOptions = {
  pollInterval: 2,
  notifications: true,
  notifyAfter: 60,
  statusItem: true,
  tabTitle: true
};

interface IPending {
  name: CommandName;
  since: number;
}

export class StudioModel implements IStudioModel {
  constructor(readonly api: Api) {
    this._poll = new Poll({
      auto: true,
      name: 'lit-studio:studio',
      factory: () => this._look(),
      frequency: { interval: IDLE_INTERVAL, backoff: true, max: LONGEST_INTERVAL },
      standby: () => document.hidden && this.activeRuns.length === 0
    });
    document.addEventListener('visibilitychange', this._onVisibility);
  }

  get data(): IStudio | null {
    return this._data;
  }

  get asOf(): number {
    return this._asOf;
  }

  get error(): ApiError | null {
    return this._error;
  }

  get options(): IStudioOptions {
    return this._options;
  }

  set options(value: IStudioOptions) {
    this._options = value;
    this._pace();
    this._changed.emit();
  }

  get activeRuns(): IRun[] {
    return (this._data?.runs ?? []).filter(run => isActive(run.status));
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get runEnded(): ISignal<this, IRunEnd> {
    return this._runEnded;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    document.removeEventListener('visibilitychange', this._onVisibility);
    this._poll.dispose();
    Signal.clearData(this);
  }

  activeRunOf(path: string): IRun | undefined {
    return this.activeRuns.find(run => isNotebook(run.notebook, path));
  }

  pending(runId: string): CommandName | undefined {
    return this._pending.get(runId)?.name;
  }

  async command(run: IRun, name: CommandName): Promise<void> {
    this._pending.set(run.id, { name, since: Date.now() });
    this._changed.emit();
    try {
      await this.api.command(run.id, name, {}, run.directory);
    } catch (error) {
      this._pending.delete(run.id);
      this._changed.emit();
      throw error;
    }
    // The run answers at its next step boundary and writes its status at most four times a second.
    for (const wait of [200, 500, 1000]) {
      window.setTimeout(() => void this.refresh(), wait);
    }
  }

  async refresh(): Promise<void> {
    if (this.isDisposed) {
      return;
    }
    await this._poll.refresh();
    try {
      await this._poll.tick;
    } catch {
      // Disposed while looking.
    }
  }

  watch(): IDisposable {
    this._watchers += 1;
    this._pace();
    void this.refresh();
    return new DisposableDelegate(() => {
      this._watchers -= 1;
      this._pace();
    });
  }

  private async _look(): Promise<void> {
    try {
      this._take(await this.api.studio());
    } catch (error) {
      this._error = error instanceof ApiError ? error : new ApiError(String(error), 0);
      this._changed.emit();
      throw error; // the poll backs off
    }
  }

  private _take(data: IStudio): void {
    const before = new Map(this.activeRuns.map(run => [run.id, run]));
    this._data = data;
    this._asOf = Date.now();
    this._error = null;
    this._settle();
    this._pace();
    this._changed.emit();
    for (const run of data.runs) {
      if (before.has(run.id) && !isActive(run.status)) {
        this._runEnded.emit({ run });
      }
    }
  }

  /** Forget the requests whose effect can be seen, or that have waited too long. */
  private _settle(): void {
    const runs = new Map(this._data?.runs.map(run => [run.id, run]) ?? []);
    for (const [id, { name, since }] of this._pending) {
      const state = runs.get(id)?.status.state;
      const done =
        !state ||
        (name === 'pause' && state !== 'running') ||
        (name === 'resume' && state !== 'paused') ||
        (name === 'stop' && state !== 'running' && state !== 'paused') ||
        (name === 'save' && Date.now() - since > SECOND);
      if (done || Date.now() - since > PENDING_FOR) {
        this._pending.delete(id);
      }
    }
  }

  private _pace(): void {
    const wanted = this._watchers > 0 || this.activeRuns.length > 0;
    const interval = wanted ? this._options.pollInterval * SECOND : IDLE_INTERVAL;
    if (!this.isDisposed && this._poll.frequency.interval !== interval) {
      this._poll.frequency = { interval, backoff: true, max: Math.max(LONGEST_INTERVAL, interval) };
    }
  }

  private _onVisibility = (): void => {
    if (!document.hidden) {
      void this.refresh();
    }
  };

  private _data: IStudio | null = null;
  private _asOf = 0;
  private _error: ApiError | null = null;
  private _options = DEFAULT_OPTIONS;
  private _watchers = 0;
  private readonly _pending = new Map<string, IPending>();
  private readonly _poll: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _runEnded = new Signal<this, IRunEnd>(this);
}
