/**
 * The notebook toolbar's item: quiet while nothing trains, the run's state and a menu while it does.
 * It must not know how a run is steered: its menu holds commands.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownEmptyThinIcon, MenuSvg, ReactWidget, ToolbarButtonComponent } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IRun } from '../api';
import { percent, place, progress } from '../format';
import { studioIcon } from '../icons';
import { StateGlyph } from '../panel/parts';
import { CommandIDs, IStudioModel } from '../tokens';

export class RunButton extends ReactWidget {
  constructor(
    private readonly panel: NotebookPanel,
    private readonly studio: IStudioModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-ToolbarButton');
    this.addClass('lit-RunButton');
    studio.changed.connect(this._onChanged, this);
  }

  render(): JSX.Element {
    const { trans } = this;
    const run = this._run();
    if (!run) {
      return (
        <ToolbarButtonComponent
          icon={studioIcon}
          tooltip={trans.__('Lit Studio: devices, kernels and runs')}
          onClick={() => void this.commands.execute(CommandIDs.togglePanel)}
        />
      );
    }
    const share = progress(run.status);
    const words = share === null ? place(run.status) : percent(share);
    const state = run.status.state === 'paused' ? trans.__('paused') : trans.__('training');
    const tip = trans.__('%1: %2, %3', run.name, state, words);
    return (
      <button
        type="button"
        className="lit-RunButton-run"
        aria-haspopup="menu"
        aria-label={tip}
        title={tip}
        onClick={event => this._open(run, event.currentTarget)}
      >
        <StateGlyph state={run.status.state} />
        <span>{words}</span>
        <caretDownEmptyThinIcon.react tag="span" width="14px" />
      </button>
    );
  }

  private _open(run: IRun, button: HTMLElement): void {
    const menu = new MenuSvg({ commands: this.commands });
    menu.addClass('lit-RunMenu');
    const args = { run: run.id };
    menu.addItem({ command: CommandIDs.pauseResume, args });
    menu.addItem({ command: CommandIDs.stop, args });
    menu.addItem({ command: CommandIDs.save, args });
    menu.addItem({ type: 'separator' });
    menu.addItem({ command: CommandIDs.reveal, args });
    menu.addItem({ command: CommandIDs.openFolder, args });
    menu.addItem({ command: CommandIDs.togglePanel });
    menu.aboutToClose.connect(() => {
      button.focus();
      // The menu still dispatches the chosen command after this signal.
      window.setTimeout(() => menu.dispose(), 0);
    });
    const box = button.getBoundingClientRect();
    menu.open(box.left, box.bottom);
  }

  private _run(): IRun | undefined {
    return this.studio.activeRunOf(this.panel.context.path);
  }

  private readonly _onChanged = (): void => {
    if (!this.isDisposed && this.isVisible) {
      this.update();
    }
  };
}
