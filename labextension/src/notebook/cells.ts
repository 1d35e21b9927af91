/**
 * Finds cells in open notebooks and brings them into view.
 * It must not know the panel or the status bar that ask for it.
 */
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRun } from '../api';
import { isNotebook } from '../format';

/** The type under which a run's view lies in a cell's output. */
export const RUN_MIME_TYPE = 'application/vnd.lit-studio.run.v1+json';

/** How long a cell that was jumped to stays marked. */
const MARK_FOR = 1500;

/** The open notebook that a run belongs to, if any. */
export function panelOf(tracker: INotebookTracker, run: IRun): NotebookPanel | undefined {
  return tracker.find(panel => isNotebook(run.notebook, panel.context.path));
}

/** The cell whose output shows the run `id`; the last one if several do. */
export function cellOfRun(panel: NotebookPanel, id: string): Cell | undefined {
  return [...panel.content.widgets].reverse().find(cell => {
    if (cell.model.type !== 'code') {
      return false;
    }
    const outputs = (cell.model as ICodeCellModel).outputs;
    for (let i = 0; i < outputs.length; i++) {
      const bundle = outputs.get(i).data[RUN_MIME_TYPE] as { run?: unknown } | undefined;
      if (bundle?.run === id) {
        return true;
      }
    }
    return false;
  });
}

/** Scroll `cell` into view with its output, make it the active one and mark it for a moment. */
export async function scrollToCell(panel: NotebookPanel, cell: Cell, toOutput: boolean): Promise<void> {
  await panel.context.ready;
  await panel.revealed;
  await panel.content.scrollToCell(cell, 'smart');
  const output = cell.node.querySelector<HTMLElement>('.jp-Cell-outputWrapper');
  const target = toOutput && output ? output : cell.node;
  target.scrollIntoView({ block: 'nearest' });
  cell.node.classList.add('lit-mod-revealed');
  window.setTimeout(() => cell.node.classList.remove('lit-mod-revealed'), MARK_FOR);
}
