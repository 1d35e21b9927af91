/**
 * Says that a long run has ended: in the page, and on the desktop if that was allowed before.
 * It must not ask for permission: only a click on a command of ours does.
 */
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IRun } from '../api';
import { basename, elapsed, headline, metric, stateWord } from '../format';
import { CommandIDs, IRunEnd, IStudioModel } from '../tokens';

export class RunNotes {
  constructor(
    private readonly studio: IStudioModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    studio.runEnded.connect(this._onEnded, this);
  }

  private readonly _onEnded = (_: IStudioModel, { run }: IRunEnd): void => {
    const { notifications, notifyAfter } = this.studio.options;
    const took = run.status.updated - run.status.started;
    if (!notifications || took < notifyAfter) {
      return;
    }
    const message = this._words(run, took);
    const failed = run.status.state === 'failed' || run.status.state === 'lost';
    const show = (): void => void this.commands.execute(CommandIDs.reveal, { run: run.id });
    Notification.emit(message, failed ? 'error' : 'success', {
      autoClose: failed ? false : 10000,
      actions: [{ label: this.trans.__('Show'), callback: show }, ...this._offer()]
    });
    if (document.hidden && desktop() === 'granted') {
      const note = new window.Notification(this.trans.__('Lit Studio'), { body: message, tag: `lit-studio-${run.id}` });
      note.onclick = () => {
        window.focus();
        show();
        note.close();
      };
    }
  };

  /** The desktop is offered once a note has shown what it would be for. */
  private _offer(): Notification.IAction[] {
    if (desktop() !== 'default') {
      return [];
    }
    return [
      {
        label: this.trans.__('Also on the desktop'),
        callback: () => void this.commands.execute(CommandIDs.desktopNotes)
      }
    ];
  }

  private _words(run: IRun, took: number): string {
    const where = run.notebook ? ` · ${basename(run.notebook)}` : '';
    const best = headline(run);
    const result = run.status.error || (best ? `${best[0]} ${metric(best[1])}` : '');
    const ending = this.trans.__('%1 %2 after %3', run.name, stateWord(run.status.state), elapsed(took));
    return [ending + where, result].filter(Boolean).join(': ');
  }
}

function desktop(): NotificationPermission {
  return 'Notification' in window ? window.Notification.permission : 'denied';
}
