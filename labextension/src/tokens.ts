/**
 * What Lit Studio's parts share, and what other extensions may ask for: the token and its face.
 * It must not know how the state is fetched.
 */
import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import type { Api, ApiError, CommandName, IRun, IStudio } from './api';

/** Ids of the commands, all under one prefix. */
export const CommandIDs = {
  togglePanel: 'lit-studio:toggle-panel',
  pauseResume: 'lit-studio:pause-resume',
  stop: 'lit-studio:stop',
  save: 'lit-studio:save-checkpoint',
  reveal: 'lit-studio:reveal-run',
  runningCell: 'lit-studio:go-to-running-cell',
  quickstart: 'lit-studio:quickstart',
  desktopNotes: 'lit-studio:allow-desktop-notifications',
  openFolder: 'lit-studio:open-run-folder',
  openNotebook: 'lit-studio:open-notebook',
  interruptKernel: 'lit-studio:interrupt-kernel',
  shutdownKernel: 'lit-studio:shut-down-kernel'
} as const;

/** What a person may set, with the values in use. */
export interface IStudioOptions {
  /** Seconds between two looks while something is shown or trains. */
  pollInterval: number;
  /** Whether a note says that a run has ended. */
  notifications: boolean;
  /** A run shorter than this many seconds ends without a note. */
  notifyAfter: number;
  /** Whether the status bar shows runs and the running cell. */
  statusItem: boolean;
  /** Whether a tab's title shows its run's progress. */
  tabTitle: boolean;
}

/** A run that was seen active and no longer is. */
export interface IRunEnd {
  run: IRun;
}

/**
 * The live state of the studio: what the server last said, and acts on it.
 *
 * The state is looked up every few seconds while somebody watches (see `watch`) or a run is active, seldom
 * otherwise, and not at all while the page is hidden and nothing trains.
 */
export interface IStudioModel extends IDisposable {
  readonly api: Api;
  /** The last good answer; null before the first. */
  readonly data: IStudio | null;
  /** When it came, in milliseconds since the epoch. */
  readonly asOf: number;
  /** Why the last look failed; null if it did not. */
  readonly error: ApiError | null;
  readonly options: IStudioOptions;
  /** Runs that are running or paused, as the server lists them. */
  readonly activeRuns: IRun[];
  /** Something above has changed. */
  readonly changed: ISignal<IStudioModel, void>;
  /** A run has ended since the last look. */
  readonly runEnded: ISignal<IStudioModel, IRunEnd>;
  /** The active run of the notebook at `path`, if any. */
  activeRunOf(path: string): IRun | undefined;
  /** The request that waits to take effect on a run, if any. */
  pending(runId: string): CommandName | undefined;
  /** Ask something of a run; rejects with `ApiError`. */
  command(run: IRun, name: CommandName): Promise<void>;
  /** Look now. */
  refresh(): Promise<void>;
  /** Keep looking every few seconds until the result is disposed. */
  watch(): IDisposable;
}

/** Ask for this to build on the studio's state. */
export const ILitStudio = new Token<IStudioModel>(
  'lit-studio:ILitStudio',
  'The live state of Lit Studio: devices, kernels and runs, and acts on them.'
);
