/**
 * Puts a run's progress on its notebook's tab and into the browser's title, and takes it away again.
 * It must not touch a tab's label: JupyterLab takes a changed label for a new file name.
 */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRun } from '../api';
import { basename, isNotebook, percent, progress } from '../format';
import type { IRunEnd, IStudioModel } from '../tokens';

/** A tab carries its mark as an attribute (`data-lit-studio`), from which a style sheet of ours writes it. */
const KEY = 'lit-studio';
const SEPARATOR = ' · ';

export class RunTitles {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly studio: IStudioModel
  ) {
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, this._sheet];
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
    let elsewhere = '';
    this.tracker.forEach(panel => {
      const mark = this._wanted(panel);
      this._mark(panel, mark);
      if (mark && panel !== this.tracker.currentWidget) {
        elsewhere = `${mark} ${basename(panel.context.path)}`;
      }
    });
    const front = this.tracker.currentWidget;
    this._prefix = (front && this._wanted(front)) || elsewhere;
    this._writeMarks();
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

  private _wanted(panel: NotebookPanel): string {
    if (!this.studio.options.tabTitle) {
      return '';
    }
    const run = this.studio.activeRunOf(panel.context.path);
    if (!run) {
      return this._ended.get(panel) ?? '';
    }
    this._ended.delete(panel);
    return inProgress(run);
  }

  private _mark(panel: NotebookPanel, mark: string): void {
    const { dataset } = panel.title;
    if ((dataset[KEY] ?? '') !== mark) {
      const others = Object.entries(dataset).filter(([key]) => key !== KEY);
      panel.title.dataset = Object.fromEntries(mark ? [...others, [KEY, mark]] : others);
    }
  }

  /** The label's own pseudo-element can't read its tab's attribute, so there is one rule for each mark in use. */
  private _writeMarks(): void {
    const marks = new Set<string>();
    this.tracker.forEach(panel => marks.add(panel.title.dataset[KEY] ?? ''));
    marks.delete('');
    const rules = [...marks].map(mark => {
      const text = JSON.stringify(mark);
      return `.lm-TabBar-tab[data-${KEY}=${text}] .lm-TabBar-tabLabel::before { content: ${text}; }`;
    });
    this._sheet.replaceSync(rules.join('\n'));
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

  private readonly _ended = new WeakMap<NotebookPanel, string>();
  private readonly _sheet = new CSSStyleSheet();
  private _prefix = '';
  private _written = '';
}

function inProgress(run: IRun): string {
  const done = progress(run.status);
  const share = done === null ? '●' : percent(done);
  return run.status.state === 'paused' ? `❚❚ ${share}` : share;
}
