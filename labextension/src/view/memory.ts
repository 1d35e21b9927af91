/**
 * What this browser remembers between visits: how a notebook's charts are looked at, and what was last seen of a run.
 * It must not be needed: a page without storage works all the same.
 */
import type { ChartSettings } from './chartbar';

/** How the charts of a notebook's runs are looked at. Lines and charts are known by name: ids are one run's. */
export interface Layout extends ChartSettings {
  hidden: string[];
  folded: Record<string, boolean>;
}

/** How far somebody has seen a run. */
export interface Seen {
  /** Milliseconds since the epoch. */
  time: number;
  step: number;
  epoch: number;
  events: number;
}

/** More would grow for ever: the ones used longest ago go first. */
const KEPT = 60;

/** Values by key in the browser's storage, the latest `KEPT` of them. */
export class Memory<T> {
  constructor(private readonly name: string) {}

  read(key: string): T | null {
    return this.all().find(([known]) => known === key)?.[1] ?? null;
  }

  write(key: string, value: T): void {
    const others = this.all().filter(([known]) => known !== key);
    try {
      window.localStorage.setItem(this.name, JSON.stringify([...others, [key, value]].slice(-KEPT)));
    } catch {
      // No storage, or none left: the next visit begins as a first one does.
    }
  }

  private all(): [string, T][] {
    try {
      const found: unknown = JSON.parse(window.localStorage.getItem(this.name) ?? '[]');
      return Array.isArray(found) ? (found as [string, T][]) : [];
    } catch {
      return [];
    }
  }
}

export const layouts = new Memory<Layout>('lit-studio:layouts');
export const visits = new Memory<Seen>('lit-studio:seen');
