/**
 * What the view needs from outside: where a run's packets come from and where a person's requests go.
 * It must not know the wire (HTTP or a widget's comm), nor JupyterLab.
 */
import type { CommandName, IDevice, IPacketQuery, IRunStatus } from '../api';

export type { CommandName, MetricValue, RunState } from '../api';

export type PacketQuery = IPacketQuery;
export type Axis = NonNullable<PacketQuery['axis']>;

/** Where a run stands, as a packet tells it. */
export interface RunStatus extends IRunStatus {
  samples_per_second: number;
  /** Share of the active time spent waiting for the loader, 0 to 1. */
  data_wait: number;
  /** What the run can be asked for, where it says so; else pause, resume, stop, save and set_lr. */
  commands?: string[];
}

/** What the machine does at this moment. */
export interface Machine {
  devices: IDevice[];
  host: { cpu_percent: number | null; memory_used: number; memory_total: number };
}

/** One run, near or far. Both promises reject with an `Error` whose message a person can read. */
export interface RunSource {
  packet(query: PacketQuery, signal?: AbortSignal): Promise<ArrayBuffer>;
  /** Resolves once the request lies in the run's inbox; that it took effect is told by an event. */
  command(name: CommandName, args?: Record<string, unknown>): Promise<void>;
  /** The last reading of the machine that the run is on; left out where none can be had. */
  machine?(): Machine | null;
}
