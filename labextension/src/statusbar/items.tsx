/**
 * The two items in the status bar: the run that trains, and the cell that runs. Both are gone when there is none.
 * They must not know how a cell is found or a panel is opened.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { ISignal, Signal } from '@lumino/signaling';
import type { ReactNode } from 'react';
import { basename, elapsed, percent, place, progress, timeLeft } from '../format';
import type { RunningCells } from '../notebook/running';
import { StateGlyph } from '../panel/parts';
import { CommandIDs, IStudioModel } from '../tokens';

/** Cells that are done sooner than this don't make the status bar flicker. */
const QUIET_FOR = 2000;

/** A status bar item that shows itself only when it has something to say. */
abstract class StatusItem extends ReactWidget {
  constructor() {
    super();
    this.addClass('lit-StatusItem');
  }

  abstract isActive(): boolean;

  /** Shown or hidden again. */
  get activeChanged(): ISignal<this, void> {
    return this._activeChanged;
  }

  protected readonly refresh = (): void => {
    if (this.isDisposed) {
      return;
    }
    if (this.isActive() !== this._was) {
      this._was = this.isActive();
      this._activeChanged.emit();
    }
    if (this._was) {
      this.update();
    }
  };

  private _was = false;
  private readonly _activeChanged = new Signal<this, void>(this);
}

function Item(props: { title: string; onClick: () => void; children: ReactNode }): JSX.Element {
  return (
    <button type="button" className="lit-StatusItem-button" title={props.title} onClick={props.onClick}>
      {props.children}
    </button>
  );
}

/** `▲ version_7 62 % · ~4 min`; a click opens the panel. */
export class RunItem extends StatusItem {
  constructor(
    private readonly studio: IStudioModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    studio.changed.connect(this.refresh, this);
  }

  isActive(): boolean {
    return this.studio.options.statusItem && this.studio.activeRuns.length > 0;
  }

  render(): JSX.Element | null {
    const [run, ...others] = this.studio.activeRuns;
    if (!run) {
      return null;
    }
    const share = progress(run.status);
    const done = share === null ? place(run.status) : percent(share);
    const rest = run.status.state === 'paused' ? this.trans.__('paused') : timeLeft(run.status);
    const more = others.length ? this.trans.__(' · %1 more', others.length) : '';
    return (
      <Item
        title={this.trans.__('%1 in %2: show Lit Studio', run.name, basename(run.notebook) || run.directory)}
        onClick={() => void this.commands.execute(CommandIDs.togglePanel)}
      >
        <StateGlyph state={run.status.state} />
        {` ${run.name} ${done}${rest ? ` · ${rest}` : ''}${more}`}
      </Item>
    );
  }
}

/** `running [12] 3 m 04 s`; a click scrolls to the cell. */
export class CellItem extends StatusItem {
  constructor(
    private readonly running: RunningCells,
    private readonly studio: IStudioModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    running.changed.connect(this._onChanged, this);
    studio.changed.connect(this._onChanged, this);
  }

  isActive(): boolean {
    const found = this.studio.options.statusItem ? this.running.first() : null;
    return found !== null && Date.now() - found.since >= QUIET_FOR;
  }

  render(): JSX.Element | null {
    const found = this.running.first();
    if (!found) {
      return null;
    }
    const count = found.count === null ? '' : ` [${found.count}]`;
    const elsewhere = found.panel.isVisible ? '' : `${basename(found.panel.context.path)} `;
    const since = elapsed((Date.now() - found.since) / 1000);
    return (
      <Item
        title={this.trans.__('Go to the running cell')}
        onClick={() => void this.commands.execute(CommandIDs.runningCell)}
      >
        {`${elsewhere}${this.trans.__('running')}${count} ${since}`}
      </Item>
    );
  }

  override dispose(): void {
    window.clearInterval(this._timer);
    super.dispose();
  }

  /** The clock ticks only while a cell runs. */
  private readonly _onChanged = (): void => {
    const any = this.running.first() !== null;
    if (any && !this._timer) {
      this._timer = window.setInterval(() => {
        this.refresh();
        if (this.running.first() === null) {
          this._onChanged();
        }
      }, 1000);
    } else if (!any && this._timer) {
      window.clearInterval(this._timer);
      this._timer = 0;
    }
    this.refresh();
  };

  private _timer = 0;
}
