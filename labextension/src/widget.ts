/**
 * The anywidget's loader: fetches the view from the kernel and gives it the widget's comm as its source.
 * It must not hold the view itself: this text is part of the widget's state, so it is kept small.
 */
import type { Dashboard, DashboardOptions, PacketQuery, RunSource } from './view';

/** The part of anywidget's model that is used. */
export interface WidgetModel {
  get(name: string): unknown;
  send(message: object): void;
  on(event: 'msg:custom', listener: Listener): void;
  off(event: 'msg:custom', listener: Listener): void;
}

interface Message {
  t: string;
  seq?: number | null;
  message?: string;
}
type Listener = (message: Message, buffers: DataView[]) => void;

interface Waiting {
  resolve: (buffers: DataView[]) => void;
  reject: (error: Error) => void;
}

type ViewModule = { mountDashboard: (host: HTMLElement, source: RunSource, options?: DashboardOptions) => Dashboard };

/** Set by the bundler: tells one build of the view from another. */
declare const __VIEW_VERSION__: string;

/** The first messages of a new comm may lie behind the running cell: they are repeated until one is answered. */
const REPEAT = 600;
/** A packet that is not here by then counts as lost; the next question asks for the same points. */
const PATIENCE = 8000;
const VIEW_PATIENCE = 60_000;

/** The run at the other end of a widget's comm. */
export class CommSource implements RunSource {
  constructor(private readonly model: WidgetModel) {
    model.on('msg:custom', this.heard);
  }

  /** Resolves once the kernel hears us. */
  ready(): Promise<void> {
    const id = Math.random().toString(36).slice(2);
    return this.repeat('ready', { t: 'hello', id }, REPEAT).then(() => undefined);
  }

  /** The script of the view. */
  async viewScript(): Promise<ArrayBuffer> {
    return bytesOf(await this.repeat('view', { t: 'view' }, VIEW_PATIENCE));
  }

  async packet(query: PacketQuery, signal?: AbortSignal): Promise<ArrayBuffer> {
    return bytesOf(await this.ask({ t: 'ask', query }, signal));
  }

  async command(name: string, args: Record<string, unknown> = {}): Promise<void> {
    await this.ask({ t: 'command', name, arguments: args });
  }

  dispose(): void {
    this.over = true;
    this.model.off('msg:custom', this.heard);
    const closed = new Error('The display was closed');
    [...this.waiting.values(), ...this.callers.values()].forEach(({ reject }) => reject(closed));
  }

  /** Questions by their number, and messages that have none by the kind of their answer. */
  private readonly waiting = new Map<number, Waiting>();
  private readonly callers = new Map<string, Waiting>();
  private seq = 0;
  private over = false;

  private readonly heard: Listener = (message, buffers) => {
    // An error without a number can only be about the view: a hello can't fail.
    const kind = message.t === 'error' ? 'view' : message.t;
    const waiting = typeof message.seq === 'number' ? this.waiting.get(message.seq) : this.callers.get(kind);
    if (message.t === 'error') {
      waiting?.reject(new Error(message.message));
    } else {
      waiting?.resolve(buffers);
    }
  };

  private ask(message: object, signal?: AbortSignal): Promise<DataView[]> {
    const seq = (this.seq += 1);
    return new Promise<DataView[]>((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        this.waiting.delete(seq);
      };
      const waiting: Waiting = {
        resolve: buffers => (done(), resolve(buffers)),
        reject: error => (done(), reject(error))
      };
      const aborted = (): void => waiting.reject(new Error('No longer wanted'));
      const timer = setTimeout(() => waiting.reject(new Error('The kernel does not answer')), PATIENCE);
      signal?.addEventListener('abort', aborted);
      this.waiting.set(seq, waiting);
      this.model.send({ ...message, seq });
    });
  }

  /** Send until the answer `kind` comes; again after `patience` milliseconds. */
  private repeat(kind: string, message: object, patience: number): Promise<DataView[]> {
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const done = (): void => {
        clearTimeout(timer);
        this.callers.delete(kind);
      };
      this.callers.set(kind, {
        resolve: buffers => (done(), resolve(buffers)),
        reject: error => (done(), reject(error))
      });
      const send = (): void => {
        if (!this.over) {
          this.model.send(message);
          timer = setTimeout(send, patience);
        }
      };
      send();
    });
  }
}

function bytesOf(buffers: DataView[]): ArrayBuffer {
  const [{ buffer, byteOffset, byteLength }] = buffers;
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}

/** The view, fetched once a page however many runs it shows. */
function loadView(source: CommSource): Promise<ViewModule> {
  const shelf = globalThis as { __litStudioViews?: Record<string, Promise<ViewModule>> };
  const views = (shelf.__litStudioViews ??= {});
  const view = (views[__VIEW_VERSION__] ??= source.viewScript().then(evaluate));
  view.catch(() => delete views[__VIEW_VERSION__]); // whoever comes next tries again
  return view;
}

async function evaluate(script: ArrayBuffer): Promise<ViewModule> {
  const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  try {
    return (await import(/* webpackIgnore: true */ url)) as ViewModule;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Show the model's run inside `el`; the result takes it away. */
async function show(model: WidgetModel, el: HTMLElement, source: CommSource): Promise<Dashboard> {
  el.textContent = 'connecting to the run…';
  await source.ready();
  const { mountDashboard } = await loadView(source);
  el.textContent = '';
  const directory = model.get('directory');
  return mountDashboard(el, source, {
    kind: model.get('view') === 'evaluation' ? 'evaluation' : 'training',
    directory: typeof directory === 'string' ? directory : ''
  });
}

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const source = new CommSource(model);
  let over = false;
  let dashboard: Dashboard | null = null;
  show(model, el, source).then(
    mounted => {
      dashboard = mounted;
      if (over) {
        dashboard.dispose();
      }
    },
    (error: unknown) => {
      el.textContent = `The dashboard could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
    }
  );
  return () => {
    over = true;
    dashboard?.dispose();
    source.dispose();
  };
}

export default { render };
