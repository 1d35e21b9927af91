/**
 * Draws a run in a cell's output: the live dashboard while its record can be found, else the picture in the bundle.
 * It must not need a kernel, nor a trusted notebook: all it takes from the bundle is which run to look for.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PathExt } from '@jupyterlab/coreutils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';
import { Api, ApiError } from './api';
import { metric } from './format';
import { RUN_MIME_TYPE } from './notebook/cells';
import { ILitStudio, IStudioModel } from './tokens';
import type { Dashboard, Machine, PacketHeader, RunSource } from './view';

/** Before HTML, pictures and widgets: who has this renderer sees the run itself. */
const RANK = -20;
const VIEW_TYPE = 'application/vnd.jupyter.widget-view+json';
/** The kernel writes the final picture itself; only if it has not by then do we. */
const REPAIR_AFTER = 6000;
const TRY_AGAIN = 4000;

/** The content of the run type, as far as it can be believed. */
interface RunReference {
  run: string;
  directory: string;
  view: 'training' | 'evaluation';
}

/** What the renderer needs from the application. */
export interface RendererServices {
  api: Api;
  /** Translates a sentence and leaves `%1`, `%2` … in it alone. */
  trans: (sentence: string) => string;
  /** Shows a folder of the server in the file browser; undefined where there is none. */
  readonly openFolder: ((path: string) => void) | undefined;
  /** Opens the dialog about more devices; undefined where there is none. */
  readonly scaleOut: (() => void) | undefined;
  /** Puts code into a new cell below the output that `node` lies in; false if that lies in no open notebook. */
  insert(node: Node, code: string): boolean;
  /** The last reading of the machine, null where nobody reads it. */
  machine(): Machine | null;
}

export class RunOutput extends Widget implements IRenderMime.IRenderer {
  constructor(
    private readonly resolver: IRenderMime.IResolver | null,
    private readonly services: RendererServices
  ) {
    super();
    this.addClass('lit-RunOutput');
  }

  /** Show the model's run; the same run again (its final update has come) keeps the dashboard that stands. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._model = model;
    const reference = readReference(model.data[RUN_MIME_TYPE]);
    const key = reference ? `${reference.run} ${reference.view}` : '';
    if (key && key === this._key) {
      return;
    }
    this._clear();
    this._key = key;
    if (reference) {
      await this._look(reference, key);
    } else {
      this._showPicture();
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._clear();
      super.dispose();
    }
  }

  private async _look(reference: RunReference, key: string): Promise<void> {
    const { api } = this.services;
    const hint = await folderOf(reference.directory, this.resolver);
    const { openFolder } = this.services;
    // The view is large: it is fetched while the run is looked for, and never before there is one to show.
    const view = import('./view');
    view.catch(() => undefined); // told below, if the run is there at all
    try {
      await api.run(reference.run, hint);
      const { mountDashboard } = await view;
      if (this._key !== key || this.isDisposed) {
        return;
      }
      this.node.replaceChildren();
      const source = { ...sourceOf(api, reference.run, hint), machine: () => this.services.machine() };
      this._dashboard = mountDashboard(this.node, source, {
        kind: reference.view,
        directory: reference.directory,
        trans: this.services.trans,
        onEnded: header => this._repairLater(header),
        onOpenRun: hint && openFolder ? () => openFolder(hint) : undefined,
        onInsert: code => this.services.insert(this.node, code),
        onScaleOut: this.services.scaleOut
      });
    } catch (error) {
      if (this._key === key && !this.isDisposed) {
        this._showPicture();
        this._tryAgain(reference, key, error);
      }
    }
  }

  /** A server that is away comes back, and a run that has no picture yet should be there any moment. */
  private _tryAgain(reference: RunReference, key: string, error: unknown): void {
    const offline = error instanceof ApiError && (error.offline || error.status >= 500);
    if (offline || (!this._picture() && this._tries < 3)) {
      this._tries += 1;
      this._timer = window.setTimeout(() => void this._look(reference, key), TRY_AGAIN);
    }
  }

  private _picture(): string {
    const picture = this._model?.data['image/png'];
    return typeof picture === 'string' ? picture.replace(/\s/g, '') : '';
  }

  /** What the file itself holds of the run. */
  private _showPicture(): void {
    const text = textOf(this._model?.data['text/plain']);
    const picture = this._picture();
    const note = document.createElement('div');
    note.className = 'lit-picture-note';
    note.textContent = this.services.trans(
      'The record of this run can’t be found here; this is what the notebook keeps of it.'
    );
    if (picture) {
      const image = document.createElement('img');
      image.className = 'lit-picture';
      image.src = `data:image/png;base64,${picture}`;
      image.alt = text || this.services.trans('Curves of a training run');
      const width = (this._model?.metadata['image/png'] as { width?: unknown } | undefined)?.width;
      if (typeof width === 'number') {
        image.width = width;
      }
      this.node.replaceChildren(image, note);
    } else {
      const lines = document.createElement('pre');
      lines.textContent = text;
      this.node.replaceChildren(lines, note);
    }
  }

  /** The run has ended: see to it that the file holds a picture, and no widget that no kernel could fill. */
  private _repairLater(header: PacketHeader): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._repair(header), REPAIR_AFTER);
  }

  private async _repair(header: PacketHeader): Promise<void> {
    const model = this._model;
    if (!model || this._dashboard === null || isWhole(model.data)) {
      return;
    }
    const training = readReference(model.data[RUN_MIME_TYPE])?.view !== 'evaluation';
    const picture = training ? await this._dashboard.toPNG().catch(() => null) : null;
    // Meanwhile the kernel, or another view of the same output, may have done it.
    if (this.isDisposed || this._model !== model || isWhole(model.data)) {
      return;
    }
    const data: Record<string, ReadonlyPartialJSONObject[string]> = { ...model.data, 'text/plain': summary(header) };
    delete data[VIEW_TYPE];
    if (picture) {
      data['image/png'] = picture;
    }
    model.setData({ data, metadata: model.metadata });
  }

  private _clear(): void {
    window.clearTimeout(this._timer);
    this._dashboard?.dispose();
    this._dashboard = null;
    this._key = '';
    this._tries = 0;
    this.node.replaceChildren();
  }

  private _model: IRenderMime.IMimeModel | null = null;
  private _dashboard: Dashboard | null = null;
  private _key = '';
  private _tries = 0;
  private _timer = 0;
}

/** Joins the renderer to JupyterLab. */
export const renderer: JupyterFrontEndPlugin<void> = {
  id: 'lit-studio:renderer',
  description: 'Draws training runs in the outputs of cells.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator, INotebookTracker, ILitStudio],
  activate: (
    app: JupyterFrontEnd,
    registry: IRenderMimeRegistry,
    translator: ITranslator | null,
    tracker: INotebookTracker | null,
    studio: IStudioModel | null
  ): void => {
    const words = (translator ?? nullTranslator).load('lit_studio');
    const services: RendererServices = {
      api: new Api(app.serviceManager.serverSettings),
      // The places are given to themselves: without arguments the translator would write "undefined" there.
      trans: sentence => words.__(sentence, '%1', '%2', '%3', '%4'),
      // Asked for late: the file browser's plugin may start after this one, and Notebook 7 has none beside a notebook.
      get openFolder() {
        const command = 'filebrowser:open-path';
        return app.commands.hasCommand(command)
          ? (path: string) => void app.commands.execute(command, { path, dontShowBrowser: false })
          : undefined;
      },
      get scaleOut() {
        const command = 'lit-studio:scale-out';
        return app.commands.hasCommand(command) ? () => void app.commands.execute(command) : undefined;
      },
      insert: (node, code) => insertBelow(tracker, node, code),
      machine: () => studio?.data ?? null
    };
    registry.addFactory(
      {
        safe: true,
        mimeTypes: [RUN_MIME_TYPE],
        defaultRank: RANK,
        createRenderer: options => new RunOutput(options.resolver, services)
      },
      RANK
    );
  }
};

function insertBelow(tracker: INotebookTracker | null, node: Node, code: string): boolean {
  const panel = tracker?.find(each => each.node.contains(node));
  const index = panel?.content.widgets.findIndex(cell => cell.node.contains(node)) ?? -1;
  if (!panel || index < 0) {
    return false;
  }
  panel.content.model?.sharedModel.insertCell(index + 1, { cell_type: 'code', source: code });
  panel.content.activeCellIndex = index + 1;
  return true;
}

function sourceOf(api: Api, run: string, hint: string): RunSource {
  return {
    packet: (query, signal) => api.packet(run, query, hint, signal),
    command: async (name, args) => {
      await api.command(run, name, args, hint);
    }
  };
}

function readReference(content: unknown): RunReference | null {
  const { run, directory, view } = (content ?? {}) as Record<string, unknown>;
  if (typeof run !== 'string' || !run) {
    return null;
  }
  return {
    run,
    directory: typeof directory === 'string' ? directory : '',
    view: view === 'evaluation' ? 'evaluation' : 'training'
  };
}

/** The run's directory relative to the server's root, as seen from the notebook; empty where that can't be told. */
async function folderOf(directory: string, resolver: IRenderMime.IResolver | null): Promise<string> {
  if (!directory || !resolver || directory.startsWith('/') || /^[A-Za-z]:[\\/]/.test(directory)) {
    return '';
  }
  try {
    const path = decodeURIComponent(await resolver.resolveUrl(encodeURI(directory)));
    // Notebooks on another drive (a collaborative one, say) have its name in front.
    return PathExt.normalize(path.replace(/^[^:/]+:/, ''));
  } catch {
    return '';
  }
}

function isWhole(data: ReadonlyPartialJSONObject): boolean {
  const pictured = 'image/png' in data || readReference(data[RUN_MIME_TYPE])?.view === 'evaluation';
  return pictured && !(VIEW_TYPE in data);
}

function textOf(text: unknown): string {
  return Array.isArray(text) ? text.join('') : typeof text === 'string' ? text : '';
}

/** How the run ended and its main numbers, in two lines, as the kernel would have written them. */
function summary({ name, status }: PacketHeader): string {
  const numbers = Object.entries(Object.keys(status.headline).length ? status.headline : status.metrics);
  const words = numbers.map(([key, value]) => `${key} ${metric(value)}`).join('  ');
  return `${name}: ${status.state} after ${status.step} steps\n${words}`.trim();
}
