/**
 * The plugins of Lit Studio's browser side: each one joins the shared state to one place of JupyterLab.
 * It must not hold any logic of its own.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry, Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';
import { Api } from './api';
import { addCommands } from './commands';
import { addQuickstartCard } from './launcher/card';
import { DEFAULT_OPTIONS, StudioModel } from './model';
import { RunNotes } from './notebook/notes';
import { RunningCells } from './notebook/running';
import { RunSaves } from './notebook/saves';
import { RunTitles } from './notebook/titles';
import { PANEL_ID, StudioPanel } from './panel/widget';
import { renderer } from './renderer';
import { CellItem, RunItem } from './statusbar/items';
import { ILitStudio, IStudioModel, IStudioOptions } from './tokens';
import { RunButton } from './toolbar/button';

const IRunningCells = new Token<RunningCells>('lit-studio:IRunningCells', 'Which cell of which notebook runs now.');

function words(translator: ITranslator | null): TranslationBundle {
  return (translator ?? nullTranslator).load('lit_studio');
}

/** The shared state, and its settings. */
const studio: JupyterFrontEndPlugin<IStudioModel> = {
  id: 'lit-studio:studio',
  description: 'Provides the live state of the studio: devices, kernels and runs.',
  autoStart: true,
  provides: ILitStudio,
  optional: [ISettingRegistry],
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null): IStudioModel => {
    const model = new StudioModel(new Api(app.serviceManager.serverSettings));
    const read = async (settings: ISettingRegistry): Promise<void> => {
      const loaded = await settings.load(studio.id);
      const apply = (): void => {
        model.options = { ...DEFAULT_OPTIONS, ...(loaded.composite as Partial<IStudioOptions>) };
      };
      loaded.changed.connect(apply);
      apply();
    };
    if (registry) {
      read(registry).catch((reason: unknown) => {
        Notification.warning(`Lit Studio uses its default settings: ${String(reason)}`);
      });
    }
    return model;
  }
};

/** The commands, on which everything else rests. */
const commands: JupyterFrontEndPlugin<RunningCells> = {
  id: 'lit-studio:commands',
  description: 'Adds the commands to steer runs and kernels and to find cells.',
  autoStart: true,
  provides: IRunningCells,
  requires: [ILitStudio, INotebookTracker],
  optional: [ICommandPalette, IDefaultFileBrowser, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IStudioModel,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    browser: IDefaultFileBrowser | null,
    translator: ITranslator | null
  ): RunningCells => {
    const running = new RunningCells(tracker, model);
    addCommands({
      app,
      studio: model,
      tracker,
      running,
      palette,
      browser,
      panelId: PANEL_ID,
      trans: words(translator)
    });
    return running;
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:panel',
  description: 'Adds the side panel with devices, kernels and runs.',
  autoStart: true,
  requires: [ILitStudio, IRunningCells],
  optional: [ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IStudioModel,
    _commands: RunningCells,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const widget = new StudioPanel(model, app.commands, words(translator));
    app.shell.add(widget, 'left', { rank: 150, type: 'Lit Studio' });
    restorer?.add(widget, PANEL_ID);
  }
};

const toolbar: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:toolbar',
  description: 'Adds the run button to the notebook toolbar.',
  autoStart: true,
  requires: [ILitStudio, IToolbarWidgetRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IStudioModel,
    registry: IToolbarWidgetRegistry,
    translator: ITranslator | null
  ): void => {
    const trans = words(translator);
    registry.addFactory<NotebookPanel>(
      'Notebook',
      'lit-studio',
      notebook => new RunButton(notebook, model, app.commands, trans)
    );
  }
};

const statusBar: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:status-bar',
  description: 'Shows the active run and the running cell in the status bar.',
  autoStart: true,
  requires: [ILitStudio, IRunningCells, IStatusBar],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IStudioModel,
    running: RunningCells,
    bar: IStatusBar,
    translator: ITranslator | null
  ): void => {
    const trans = words(translator);
    for (const [id, item, rank] of [
      ['lit-studio:run', new RunItem(model, app.commands, trans), 20],
      ['lit-studio:cell', new CellItem(running, model, app.commands, trans), 21]
    ] as const) {
      bar.registerStatusItem(id, {
        item,
        align: 'left',
        rank,
        isActive: () => item.isActive(),
        activeStateChanged: item.activeChanged
      });
    }
  }
};

const launcher: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:launcher',
  description: 'Adds the quickstart to the launcher.',
  autoStart: true,
  requires: [ILauncher, IRunningCells],
  optional: [ITranslator],
  activate: (_: JupyterFrontEnd, cards: ILauncher, _commands: RunningCells, translator: ITranslator | null): void =>
    addQuickstartCard(cards, words(translator))
};

const notes: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:notes',
  description: 'Shows progress in the titles, says when a long run has ended, and saves notebooks with runs.',
  autoStart: true,
  requires: [ILitStudio, INotebookTracker],
  optional: [IDocumentManager, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IStudioModel,
    tracker: INotebookTracker,
    documents: IDocumentManager | null,
    translator: ITranslator | null
  ): void => {
    new RunNotes(model, app.commands, words(translator));
    new RunTitles(tracker, model);
    if (documents) {
      new RunSaves(tracker, model, documents);
    }
  }
};

export { ILitStudio } from './tokens';
export type { IStudioModel } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  studio,
  commands,
  panel,
  toolbar,
  statusBar,
  launcher,
  notes,
  renderer
];
export default plugins;
