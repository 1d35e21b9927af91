/**
 * The checkpoints of a run on the axis, and the line that resumes from one.
 * It must not know how a chart shows them.
 */
import { basename } from '../format';
import { quoted } from './copying';
import { goneBack, Place } from './marks';
import type { RunEvent } from './packet';

export interface Checkpoint {
  at: number;
  step: number;
  path: string;
  name: string;
  /** It belongs to a stretch that was abandoned. */
  abandoned: boolean;
}

/** All checkpoints that were saved, by place; a file that was written again counts once, where it was last. */
export function checkpointsOf(events: RunEvent[], place: Place): Checkpoint[] {
  const found = new Map<string, Checkpoint>();
  const back = goneBack(events);
  for (const [i, event] of events.entries()) {
    const at = event.event === 'CheckpointSaved' ? place(event) : null;
    const path = typeof event.path === 'string' ? event.path : '';
    if (at !== null && path) {
      const step = event.step ?? 0;
      found.set(path, { at, step, path, name: basename(path), abandoned: step > back[i] });
    }
  }
  return [...found.values()].sort((a, b) => a.at - b.at);
}

/** The checkpoint of the curve that is nearest to a place; null if there is none. */
export function nearestCheckpoint(checkpoints: Checkpoint[], at: number): Checkpoint | null {
  let best: Checkpoint | null = null;
  for (const each of checkpoints.filter(({ abandoned }) => !abandoned)) {
    if (!best || Math.abs(each.at - at) <= Math.abs(best.at - at)) {
      best = each;
    }
  }
  return best;
}

/** The Python line that goes on from a checkpoint. */
export function resumeLine(checkpoint: Checkpoint): string {
  return `trainer.fit(model, ckpt_path=${quoted(checkpoint.path)})`;
}
