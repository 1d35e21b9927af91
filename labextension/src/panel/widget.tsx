/**
 * The side panel as a widget: holds the content and asks the model to keep looking while it is in view.
 * It must not know what the content is made of.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { studioIcon } from '../icons';
import type { IStudioModel } from '../tokens';
import { Studio } from './studio';

export const PANEL_ID = 'lit-studio-panel';

export class StudioPanel extends ReactWidget {
  constructor(
    private readonly studio: IStudioModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = PANEL_ID;
    this.addClass('lit-Panel');
    this.title.icon = studioIcon;
    this.title.caption = trans.__('Lit Studio');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Lit Studio'));
    studio.changed.connect(this._onChanged, this);
  }

  override dispose(): void {
    this._watch?.dispose();
    super.dispose();
  }

  override render(): JSX.Element {
    return <Studio studio={this.studio} commands={this.commands} trans={this.trans} />;
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._watch ??= this.studio.watch();
    this.update();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._watch?.dispose();
    this._watch = null;
  }

  /** The filter is where one starts; Lumino has no focus of its own. */
  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    const first = this.node.querySelector<HTMLElement>('[data-lit-row][tabindex="0"]');
    (first ?? this.node.querySelector<HTMLElement>('.lit-Filter'))?.focus();
  }

  private readonly _onChanged = (): void => {
    if (this.isVisible) {
      this.update();
    }
  };

  private _watch: IDisposable | null = null;
}
