/**
 * Knows which cell of which notebook runs, and since when.
 * It must not know who shows it.
 */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import type { IStudioModel } from '../tokens';
import { cellOfRun } from './cells';

/** A cell that runs now. */
export interface IRunningCell {
  panel: NotebookPanel;
  cell: Cell;
  /** Milliseconds since the epoch. */
  since: number;
  /** The number its prompt will get; null while the kernel hasn't said. */
  count: number | null;
}

interface IQueue {
  /** First in, first run: the first one is what the kernel works on. */
  cells: Cell[];
  since: number;
  count: number | null;
}

/**
 * Follows what is scheduled and executed in this page. A cell that was started before the page was loaded is
 * known only by its run: the cell that shows the notebook's active run is the one.
 */
export class RunningCells {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly studio: IStudioModel
  ) {
    NotebookActions.executionScheduled.connect(this._onScheduled, this);
    NotebookActions.executed.connect(this._onExecuted, this);
    tracker.forEach(panel => this._follow(panel));
    tracker.widgetAdded.connect((_, panel) => this._follow(panel));
    this._changed.connect(() => this._watch());
  }

  /** Another cell runs, or none. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The running cell of `panel`. */
  of(panel: NotebookPanel): IRunningCell | null {
    const queue = this._queues.get(panel.content);
    const cell = queue?.cells.find(each => !each.isDisposed);
    if (queue && cell) {
      return { panel, cell, since: queue.since, count: queue.count };
    }
    const { path } = panel.context;
    const run = this.studio.activeRunOf(path);
    const found = run && cellOfRun(panel, run.id);
    return run && found ? { panel, cell: found, since: run.status.started * 1000, count: null } : null;
  }

  /** The running cell of the notebook in front, else of any other one. */
  first(): IRunningCell | null {
    const current = this.tracker.currentWidget;
    const here = current && this.of(current);
    if (here) {
      return here;
    }
    let found: IRunningCell | null = null;
    this.tracker.forEach(panel => {
      found = found ?? this.of(panel);
    });
    return found;
  }

  private readonly _onScheduled = (_: unknown, args: { notebook: Notebook; cell: Cell }): void => {
    const queue = this._queues.get(args.notebook) ?? { cells: [], since: 0, count: null };
    if (queue.cells.length === 0) {
      queue.since = Date.now();
      queue.count = null;
    }
    queue.cells.push(args.cell);
    this._queues.set(args.notebook, queue);
    this._changed.emit();
  };

  private readonly _onExecuted = (_: unknown, args: { notebook: Notebook; cell: Cell }): void => {
    const queue = this._queues.get(args.notebook);
    if (!queue) {
      return;
    }
    const first = queue.cells[0] === args.cell;
    queue.cells = queue.cells.filter(cell => cell !== args.cell && !cell.isDisposed);
    if (first) {
      queue.since = Date.now();
      queue.count = null;
    }
    if (queue.cells.length === 0) {
      this._queues.delete(args.notebook);
    }
    if (this.studio.activeRuns.length > 0) {
      void this.studio.refresh(); // its run may have ended with it
    }
    this._changed.emit();
  };

  /** A cell that runs may begin to train: keep looking while there is one. */
  private _watch(): void {
    if (this._queues.size > 0) {
      this._watching ??= this.studio.watch();
    } else {
      this._watching?.dispose();
      this._watching = null;
    }
  }

  private _follow(panel: NotebookPanel): void {
    const notebook = panel.content;
    const onMessage = (_: ISessionContext, message: KernelMessage.IMessage): void => {
      const queue = this._queues.get(notebook);
      if (queue && message.header.msg_type === 'execute_input') {
        queue.count = (message as KernelMessage.IExecuteInputMsg).content.execution_count;
        this._changed.emit();
      }
    };
    const onStatus = (_: ISessionContext, status: Kernel.Status): void => {
      // What was queued died with the kernel.
      if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
        this._queues.delete(notebook);
        this._changed.emit();
      }
    };
    panel.sessionContext.iopubMessage.connect(onMessage);
    panel.sessionContext.statusChanged.connect(onStatus);
    panel.disposed.connect(() => {
      this._queues.delete(notebook);
      this._changed.emit();
    });
  }

  private _watching: IDisposable | null = null;
  private readonly _queues = new Map<Notebook, IQueue>();
  private readonly _changed = new Signal<this, void>(this);
}
