/**
 * Saves a notebook when a run of it begins, now and then while it goes on, and when it has ended: a reload in mid-run
 * finds its output, and a page closed afterwards leaves it in the file.
 * It must not save where the person has turned JupyterLab's autosave off.
 */
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRun } from '../api';
import type { IRunEnd, IStudioModel } from '../tokens';
import { cellOfRun, panelOf } from './cells';

/** Outputs that come during a run are written at most this often; JupyterLab's own interval is two minutes. */
const SAVE_EVERY = 20_000;

/** The final picture arrives with the cell's last output, a moment after the run's end. */
const AFTER_END = 1500;

export class RunSaves {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly studio: IStudioModel,
    private readonly documents: IDocumentManager
  ) {
    studio.changed.connect(this._onChanged, this);
    studio.runEnded.connect(this._onEnded, this);
  }

  private readonly _onChanged = (): void => {
    for (const run of this.studio.activeRuns) {
      const due = Date.now() - (this._saved.get(run.id) ?? 0) >= SAVE_EVERY;
      const panel = due ? panelOf(this.tracker, run) : undefined;
      if (panel && cellOfRun(panel, run.id)) {
        this._saved.set(run.id, Date.now());
        void this._save(panel);
      }
    }
  };

  private readonly _onEnded = (_: IStudioModel, { run }: IRunEnd): void => {
    window.setTimeout(() => this._saveEnd(run), AFTER_END);
  };

  private _saveEnd(run: IRun): void {
    this._saved.delete(run.id);
    const panel = panelOf(this.tracker, run);
    if (panel && cellOfRun(panel, run.id)) {
      void this._save(panel);
    }
  }

  private async _save(panel: NotebookPanel): Promise<void> {
    const { context } = panel;
    const wanted = this.documents.autosave && context.model.dirty && !context.model.readOnly;
    if (wanted && !context.model.collaborative && context.contentsModel?.writable) {
      await context.save();
    }
  }

  private readonly _saved = new Map<string, number>();
}
