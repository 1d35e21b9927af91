/**
 * The one door to the server: every request that the browser side makes goes through `Api`.
 * It must not know who asks or how an answer is shown.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** States of a run; `lost` means that it should be active and its process is gone. */
export type RunState = 'created' | 'running' | 'paused' | 'finished' | 'stopped' | 'interrupted' | 'failed' | 'lost';

/** What a person may ask of an active run. */
export type CommandName = 'pause' | 'resume' | 'stop' | 'save' | 'set_lr' | 'abort' | 'validate';

/** JSON has no NaN and no infinities: they travel as words. */
export type MetricValue = number | 'nan' | 'inf' | '-inf';

/** Where a run stands. Times are seconds since the epoch, durations seconds. */
export interface IRunStatus {
  state: RunState;
  stage: string;
  step: number;
  planned_steps: number | null;
  epoch: number;
  max_epochs: number | null;
  batch: number;
  batches: number | null;
  rate: number;
  eta: number | null;
  active: number;
  learning_rate: number | null;
  device: string;
  started: number;
  updated: number;
  headline: Record<string, MetricValue>;
  metrics: Record<string, MetricValue>;
  error: string;
}

/** A run as the studio lists it; `directory` is relative to the server's root where it lies inside. */
export interface IRun {
  id: string;
  name: string;
  directory: string;
  notebook: string;
  created: number;
  status: IRunStatus;
  sparkline?: (number | null)[];
}

/** A run with its versions, as told by its own page. */
export interface IRunDetail extends IRun {
  packages: Record<string, string>;
}

/** One device. `utilization` is in percent, memory in bytes; null where it can't be measured. */
export interface IDevice {
  kind: string;
  index: number;
  name: string;
  utilization: number | null;
  memory_used: number | null;
  memory_total: number | null;
  /** Why there is no GPU, where the server knows. */
  reason?: string | null;
}

/** A live Jupyter kernel and what its process tree holds. */
export interface IKernel {
  id: string;
  name: string;
  state: string;
  path: string;
  pid: number | null;
  cpu_percent: number | null;
  memory: number | null;
  gpu_memory: Record<string, number>;
  started: string | null;
  execution_state: string;
  last_activity: string | null;
}

/** Everything that the panel and the status bar show, in one answer. */
export interface IStudio {
  time: number;
  devices: IDevice[];
  host: { cpu_percent: number | null; memory_used: number; memory_total: number };
  kernels: IKernel[];
  runs: IRun[];
}

/** Which part of a run's series is asked for; see the packet's format in the reference. */
export interface IPacketQuery {
  width?: number;
  axis?: 'step' | 'epoch' | 'time' | 'active' | 'samples';
  have?: string;
  events?: number;
  x0?: number;
  x1?: number;
}

/** What went wrong, in words for a person, and what to do about it. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly advice: string = '',
    readonly reason: string = ''
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** Whether the server could not be reached at all. */
  get offline(): boolean {
    return this.status === 0;
  }
}

/**
 * The REST routes of the Lit Studio server extension.
 *
 * @param settings - where the server is and how to be let in.
 */
export class Api {
  constructor(readonly settings: ServerConnection.ISettings = ServerConnection.makeSettings()) {}

  /** Devices, host, kernels and runs at this moment. */
  studio(signal?: AbortSignal): Promise<IStudio> {
    return this.json<IStudio>('studio', { signal });
  }

  /** One run; `directory` (relative to the server's root) says where to look first. */
  run(id: string, directory?: string, signal?: AbortSignal): Promise<IRunDetail> {
    return this.json<IRunDetail>(runPath(id) + query({ directory }), { signal });
  }

  /** A packet of series and events (binary). */
  async packet(id: string, what: IPacketQuery, directory?: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    const response = await this.request(`${runPath(id)}/packet${query({ ...what, directory })}`, { signal });
    return response.arrayBuffer();
  }

  /** Ask something of an active run; resolves to the command's id once it lies in the run's inbox. */
  async command(
    id: string,
    name: CommandName,
    args: Record<string, unknown> = {},
    directory?: string
  ): Promise<string> {
    const answer = await this.json<{ id: string }>(`${runPath(id)}/commands${query({ directory })}`, {
      method: 'POST',
      body: JSON.stringify({ name, arguments: args })
    });
    return answer.id;
  }

  /** Copy the guide notebook `name` into `directory` if it is not there; resolves to its path. */
  async copyGuide(name: string, directory: string): Promise<string> {
    const answer = await this.json<{ path: string }>(`guide/${encodeURIComponent(name)}`, {
      method: 'POST',
      body: JSON.stringify({ directory })
    });
    return answer.path;
  }

  private async json<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.request(path, init);
    try {
      return (await response.json()) as T;
    } catch {
      // A proxy or a wrong base URL answers with a page: that is no answer of ours.
      throw new ApiError('The answer is not from Lit Studio', response.status, 'Is its server extension enabled?');
    }
  }

  private async request(path: string, init: RequestInit): Promise<Response> {
    const url = URLExt.join(this.settings.baseUrl, 'lit-studio/api') + '/' + path;
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      if (init.signal?.aborted) {
        throw error;
      }
      throw new ApiError('The server does not answer', 0, 'Check that it is still running.');
    }
    if (!response.ok) {
      throw await failure(response);
    }
    return response;
  }
}

async function failure(response: Response): Promise<ApiError> {
  let body: { message?: string; advice?: string; reason?: string } = {};
  try {
    body = (await response.json()) as typeof body;
  } catch {
    // No JSON: the status line has to do.
  }
  const message = body.message || `The server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(message, response.status, body.advice ?? '', body.reason ?? '');
}

function runPath(id: string): string {
  return `runs/${encodeURIComponent(id)}`;
}

function query(values: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') {
      search.set(key, String(value));
    }
  }
  const text = search.toString();
  return text ? `?${text}` : '';
}
