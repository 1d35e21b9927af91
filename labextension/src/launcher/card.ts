/**
 * The launcher's card for the quickstart.
 * It must not know how the notebook is copied.
 */
import type { ILauncher } from '@jupyterlab/launcher';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandIDs } from '../tokens';

/** After JupyterLab's notebooks (0), before its consoles (20). */
const CATEGORY_RANK = 10;

export function addQuickstartCard(launcher: ILauncher, trans: TranslationBundle): void {
  launcher.add({
    command: CommandIDs.quickstart,
    category: trans.__('Lit Studio'),
    categoryRank: CATEGORY_RANK,
    rank: 0
  });
}
