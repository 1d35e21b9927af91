/**
 * Puts a run's progress on its notebook's tab and into the browser's title, and takes it away again.
 * It must not touch a tab's label: JupyterLab takes a changed label for a new file name.
 */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRun } from '../api';
import { isNotebook, percent, progress } from '../format';
import type { IRunEnd, IStudioModel } from '../tokens';

/** Tells the style sheet that a tab carries a mark (`data-lit-studio`). */
const KEY = 'lit-studio';
const SEPARATOR = ' · ';

export class RunTitles {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly studio: IStudioModel
  ) {
    studio.changed.connect(this._update, this);
    studio.runEnded.connect(this._onEnded, this);
    tracker.currentChanged.connect(this._onVisit, this);
    document.addEventListener('visibilitychange', this._onVisit);
    const title = document.querySelector('title');
    if (title) {
      // JupyterLab writes the title anew whenever another tab comes to the front.
      new MutationObserver(() => this._writeDocumentTitle()).observe(title, { childList: true });
    }
  }

  private readonly _update = (): void => {
    const wanted = this.studio.options.tabTitle;
    let front = '';
    this.tracker.forEach(panel => {
      const run = wanted ? this.studio.activeRunOf(panel.context.path) : undefined;
      if (run) {
        this._ended.delete(panel);
      }
      const mark = run ? inProgress(run) : ((wanted && this._ended.get(panel)) ?? '') || '';
      this._mark(panel, mark);
      if (panel === this.tracker.currentWidget || !front) {
        front = mark || front;
      }
    });
    this._prefix = front;
    this._writeDocumentTitle();
  };

  private readonly _onEnded = (_: IStudioModel, { run }: IRunEnd): void => {
    const panel = this.tracker.find(each => isNotebook(run.notebook, each.context.path));
    if (panel && !this._seen(panel)) {
      this._ended.set(panel, run.status.state === 'failed' || run.status.state === 'lost' ? '✗' : '✓');
      this._update();
    }
  };

  private readonly _onVisit = (): void => {
    const panel = this.tracker.currentWidget;
    if (panel && this._seen(panel)) {
      this._ended.delete(panel);
    }
    this._update();
  };

  private _seen(panel: NotebookPanel): boolean {
    return !document.hidden && panel.isVisible;
  }

  private _mark(panel: NotebookPanel, mark: string): void {
    if (panel.title.iconLabel !== mark) {
      const others = Object.entries(panel.title.dataset).filter(([key]) => key !== KEY);
      panel.title.dataset = Object.fromEntries(mark ? [...others, [KEY, '']] : others);
      panel.title.iconLabel = mark;
    }
  }

  private _writeDocumentTitle(): void {
    const plain = document.title.startsWith(this._written)
      ? document.title.slice(this._written.length)
      : document.title;
    const wanted = this._prefix ? this._prefix + SEPARATOR : '';
    if (document.title !== wanted + plain) {
      this._written = wanted;
      document.title = wanted + plain;
    }
  }

  private readonly _ended = new Map<NotebookPanel, string>();
  private _prefix = '';
  private _written = '';
}

function inProgress(run: IRun): string {
  const done = progress(run.status);
  const share = done === null ? '●' : percent(done);
  return run.status.state === 'paused' ? `❚❚ ${share}` : share;
}
