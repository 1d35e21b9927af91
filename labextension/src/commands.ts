/**
 * Every act of Lit Studio as a command, so that the palette, menus, keys, panel and other extensions share it.
 * It must not know what the screens look like.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { KernelAPI } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { stopIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { ApiError, CommandName, IKernel, IRun } from './api';
import { basename, isActive, isNotebook } from './format';
import { pauseIcon, studioColourIcon, studioIcon } from './icons';
import { cellOfRun, panelOf, scrollToCell } from './notebook/cells';
import type { RunningCells } from './notebook/running';
import { CommandIDs, IStudioModel } from './tokens';

export const QUICKSTART = '01-quickstart';

/** What the commands act on. */
export interface ICommandContext {
  app: JupyterFrontEnd;
  studio: IStudioModel;
  tracker: INotebookTracker;
  running: RunningCells;
  trans: TranslationBundle;
  palette: ICommandPalette | null;
  browser: IDefaultFileBrowser | null;
  panelId: string;
}

type Args = ReadonlyPartialJSONObject;

/** Add all commands to the application and, where there is one, to the palette. */
export function addCommands(context: ICommandContext): void {
  addRunCommands(context);
  addKernelCommands(context);
  addPlaceCommands(context);
  addContextMenus(context);
  followState(context);
  const category = context.trans.__('Lit Studio');
  for (const command of [
    CommandIDs.togglePanel,
    CommandIDs.pauseResume,
    CommandIDs.stop,
    CommandIDs.save,
    CommandIDs.reveal,
    CommandIDs.runningCell,
    CommandIDs.quickstart,
    CommandIDs.desktopNotes
  ]) {
    context.palette?.addItem({ command, category, args: { isPalette: true } });
  }
}

/** What a right click on a row of the panel offers. */
function addContextMenus({ app }: ICommandContext): void {
  const args = { isContextMenu: true };
  let rank = 0;
  const offer = (selector: string, ...commands: string[]): void =>
    commands.forEach(command => app.contextMenu.addItem({ command, args, selector, rank: rank++ }));
  offer('.lit-Run', CommandIDs.pauseResume, CommandIDs.stop, CommandIDs.save);
  offer('[data-lit-row^="run:"]', CommandIDs.reveal, CommandIDs.openFolder);
  offer('.lit-Kernel', CommandIDs.openNotebook, CommandIDs.interruptKernel, CommandIDs.shutdownKernel);
}

/** Say what went wrong and what to do about it. */
export function report(error: unknown, trans: TranslationBundle): void {
  const advice = error instanceof ApiError ? error.advice : '';
  const message = error instanceof Error ? error.message : String(error);
  Notification.error(trans.__('Lit Studio: %1', advice ? `${message}. ${advice}` : message), { autoClose: 8000 });
}

/** The id of the row of ours that the context menu was opened on; `kind` is `run` or `kernel`. */
function rowUnderMenu(app: JupyterFrontEnd, kind: string): string | undefined {
  const row = app.contextMenuHitTest(node => !!node.dataset.litRow?.startsWith(`${kind}:`));
  return row?.dataset.litRow?.slice(kind.length + 1);
}

/** The run named by `args.run` or under the menu; else the active one of the notebook in front; else the only one. */
function targetRun({ app, studio, tracker }: ICommandContext, args: Args): IRun | undefined {
  const id = args.isContextMenu ? rowUnderMenu(app, 'run') : args.run;
  if (id !== undefined || args.isContextMenu) {
    return studio.data?.runs.find(run => run.id === id);
  }
  const path = tracker.currentWidget?.context.path;
  const here = path ? studio.activeRunOf(path) : undefined;
  return here ?? (studio.activeRuns.length === 1 ? studio.activeRuns[0] : undefined);
}

/** In a list of ours the label stands alone; in the palette it names the studio. */
function label(trans: TranslationBundle, args: Args, words: string): string {
  return args.isPalette ? trans.__('Lit Studio: %1', words) : words;
}

function addRunCommands(context: ICommandContext): void {
  const { app, studio, trans } = context;
  const active = (args: Args): IRun | undefined => {
    const run = targetRun(context, args);
    return run && isActive(run.status) ? run : undefined;
  };
  const ask = async (args: Args, name: (run: IRun) => CommandName): Promise<void> => {
    const run = active(args);
    if (!run) {
      return;
    }
    try {
      await studio.command(run, name(run));
    } catch (error) {
      report(error, trans);
    }
  };
  const isPaused = (args: Args): boolean => active(args)?.status.state === 'paused';
  app.commands.addCommand(CommandIDs.pauseResume, {
    label: args =>
      args.isPalette
        ? trans.__('Lit Studio: Pause or Resume the Run')
        : isPaused(args)
          ? trans.__('Resume')
          : trans.__('Pause'),
    caption: trans.__('Wait at the next step, or go on'),
    icon: args => (args.isPalette ? undefined : pauseIcon),
    isEnabled: args => !!active(args),
    execute: args => ask(args, run => (run.status.state === 'paused' ? 'resume' : 'pause'))
  });
  app.commands.addCommand(CommandIDs.stop, {
    label: args => label(trans, args, args.isPalette ? trans.__('Stop the Run') : trans.__('Stop')),
    caption: trans.__('Finish the batch, save a checkpoint and end the run; the cell ends normally'),
    icon: args => (args.isPalette ? undefined : stopIcon),
    isEnabled: args => !!active(args),
    execute: args => ask(args, () => 'stop')
  });
  app.commands.addCommand(CommandIDs.save, {
    label: args => label(trans, args, trans.__('Save a Checkpoint Now')),
    caption: trans.__('Write a checkpoint at the next step'),
    isEnabled: args => !!active(args),
    execute: args => ask(args, () => 'save')
  });
  app.commands.addCommand(CommandIDs.reveal, {
    label: args => label(trans, args, trans.__('Go to the Run’s Output')),
    caption: trans.__('Open the notebook and show where this run is drawn'),
    isEnabled: args => !!targetRun(context, args),
    execute: async args => {
      const run = targetRun(context, args);
      if (run) {
        await revealRun(context, run);
      }
    }
  });
}

async function revealRun(context: ICommandContext, run: IRun): Promise<void> {
  const { app, studio, tracker, trans } = context;
  const kernel = studio.data?.kernels.find(each => isNotebook(run.notebook, each.path));
  const path = panelOf(tracker, run)?.context.path ?? kernel?.path ?? run.notebook;
  if (!path) {
    Notification.info(trans.__('%1 was started by a script: there is no notebook to open.', run.name), {
      autoClose: 5000
    });
    return;
  }
  const panel = (await openDocument(context, path)) as NotebookPanel | undefined;
  if (!panel) {
    return;
  }
  await panel.context.ready;
  const cell = cellOfRun(panel, run.id);
  if (cell) {
    await scrollToCell(panel, cell, true);
  } else {
    app.shell.activateById(panel.id);
    Notification.info(trans.__('The output of %1 is no longer in %2.', run.name, basename(path)), { autoClose: 5000 });
  }
}

async function openDocument({ app, trans }: ICommandContext, path: string): Promise<unknown> {
  try {
    return await app.commands.execute('docmanager:open', { path });
  } catch (error) {
    report(error, trans);
    return undefined;
  }
}

function addKernelCommands(context: ICommandContext): void {
  const { app, studio, trans } = context;
  const target = (args: Args): IKernel | undefined => {
    const id = args.isContextMenu ? rowUnderMenu(app, 'kernel') : args.kernel;
    return studio.data?.kernels.find(each => each.id === id);
  };
  const settings = app.serviceManager.serverSettings;
  app.commands.addCommand(CommandIDs.openNotebook, {
    label: trans.__('Open the Notebook'),
    isEnabled: args => !!target(args)?.path,
    execute: args => openDocument(context, target(args)?.path ?? '')
  });
  app.commands.addCommand(CommandIDs.interruptKernel, {
    label: trans.__('Interrupt the Kernel'),
    caption: trans.__('Stop what the kernel runs now; its variables stay'),
    isEnabled: args => !!target(args),
    execute: async args => {
      try {
        await KernelAPI.interruptKernel(target(args)?.id ?? '', settings);
        await studio.refresh();
      } catch (error) {
        report(error, trans);
      }
    }
  });
  app.commands.addCommand(CommandIDs.shutdownKernel, {
    label: trans.__('Shut Down the Kernel'),
    caption: trans.__('End the kernel and free its memory; its variables are lost'),
    isEnabled: args => !!target(args),
    execute: async args => {
      const kernel = target(args);
      if (kernel && (await confirmShutdown(context, kernel))) {
        try {
          await shutDown(context, kernel);
          await studio.refresh();
        } catch (error) {
          report(error, trans);
        }
      }
    }
  });
}

/** A kernel's variables can't be brought back: the one thing here that has to be asked about. */
async function confirmShutdown({ studio, trans }: ICommandContext, kernel: IKernel): Promise<boolean> {
  const name = basename(kernel.path) || kernel.name;
  const run = kernel.path ? studio.activeRunOf(kernel.path) : undefined;
  const answer = await showDialog({
    title: trans.__('Shut down the kernel of %1?', name),
    body: run
      ? trans.__('%1 is still training and ends here without a last checkpoint. All variables are lost.', run.name)
      : trans.__('All its variables are lost. The notebook itself stays as it is.'),
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: trans.__('Shut Down') })]
  });
  return answer.button.accept;
}

/** Through the session where there is one, so that open pages learn of it at once. */
async function shutDown({ app }: ICommandContext, kernel: IKernel): Promise<void> {
  const sessions = app.serviceManager.sessions;
  await sessions.refreshRunning();
  for (const session of sessions.running()) {
    if (session.kernel?.id === kernel.id) {
      return sessions.shutdown(session.id);
    }
  }
  await app.serviceManager.kernels.shutdown(kernel.id);
}

function addPlaceCommands(context: ICommandContext): void {
  const { app, studio, running, trans, browser, panelId } = context;
  app.commands.addCommand(CommandIDs.togglePanel, {
    label: args => label(trans, args, trans.__('Show or Hide the Panel')),
    caption: trans.__('Devices, kernels and runs'),
    icon: args => (args.isPalette ? undefined : studioIcon),
    execute: () => togglePanel(app, panelId)
  });
  app.commands.addCommand(CommandIDs.runningCell, {
    label: args => label(trans, args, trans.__('Go to the Running Cell')),
    isEnabled: () => running.first() !== null,
    execute: async () => {
      const found = running.first();
      if (found) {
        app.shell.activateById(found.panel.id);
        await scrollToCell(found.panel, found.cell, false);
      }
    }
  });
  app.commands.addCommand(CommandIDs.quickstart, {
    label: args =>
      args.isPalette
        ? trans.__('Lit Studio: Open the Quickstart')
        : trans.__('Quickstart: train digits, 40\u00a0s, no GPU'),
    caption: trans.__('Copy the quickstart notebook into this folder and open it'),
    icon: args => (args.isPalette ? undefined : studioColourIcon),
    execute: async args => {
      const directory = typeof args.cwd === 'string' ? args.cwd : (browser?.model.path ?? '');
      try {
        const path = await studio.api.copyGuide(QUICKSTART, withoutDrive(directory));
        void browser?.model.refresh();
        return await openDocument(context, path);
      } catch (error) {
        report(error, trans);
        return undefined;
      }
    }
  });
  app.commands.addCommand(CommandIDs.openFolder, {
    label: trans.__('Show the Run’s Files'),
    caption: trans.__('Go to the run’s folder in the file browser'),
    isEnabled: args => !!browser && !!targetRun(context, args)?.directory,
    execute: args =>
      app.commands.execute('filebrowser:open-path', {
        path: targetRun(context, args)?.directory,
        dontShowBrowser: false
      })
  });
  app.commands.addCommand(CommandIDs.desktopNotes, {
    label: args => label(trans, args, trans.__('Allow Desktop Notifications')),
    caption: trans.__('Be told when a long run ends, also while this page is in the background'),
    isEnabled: () => 'Notification' in window && window.Notification.permission === 'default',
    execute: async () => {
      await window.Notification.requestPermission();
    }
  });
}

/** Labels and enabled states follow the runs; said only when a run's state or the notebook in front has changed. */
function followState({ app, studio, tracker, running }: ICommandContext): void {
  let known = '';
  const notify = (): void => {
    const now = studio.data?.runs.map(run => run.id + run.status.state).join() ?? '';
    if (now !== known) {
      known = now;
      announce();
    }
  };
  const announce = (): void => Object.values(CommandIDs).forEach(id => app.commands.notifyCommandChanged(id));
  studio.changed.connect(notify);
  running.changed.connect(announce);
  tracker.currentChanged.connect(announce);
}

/** Browsers of other drives name their paths `drive:path`; the guide goes onto the server's own disk. */
function withoutDrive(path: string): string {
  return path.includes(':') ? '' : path;
}

/** Show the panel if it is not in view, else fold its side bar away. */
function togglePanel(app: JupyterFrontEnd, panelId: string): void {
  for (const widget of app.shell.widgets('left')) {
    if (widget.id === panelId && widget.isVisible) {
      const shell = app.shell as JupyterFrontEnd.IShell & { collapseLeft?: () => void };
      shell.collapseLeft?.();
      return;
    }
  }
  app.shell.activateById(panelId);
}
