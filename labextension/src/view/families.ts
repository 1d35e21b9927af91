/**
 * Which metrics share a chart, in which order the charts stand, and which line is whose.
 * It must not know colours or the DOM.
 */

/** A part of the run that a metric's name may tell of. */
export type Phase = 'train' | 'val' | 'test' | '';

/** A metric's place: its chart, and its line in it. */
export interface Line {
  id: number;
  name: string;
  /** The name without the group that the chart's title says already. */
  label: string;
  phase: Phase;
  /** Number of the line's look (colour and dash); the same phase looks the same in every chart where it can. */
  slot: number;
}

export interface Family {
  key: string;
  title: string;
  lines: Line[];
}

/** Whether smaller or larger is better; 0 where the name does not say. */
export type Direction = -1 | 0 | 1;

const PHASES: [RegExp, Phase][] = [
  [/^(train|training|tr)$/, 'train'],
  [/^(val|valid|validation|dev|eval)$/, 'val'],
  [/^(test|testing)$/, 'test']
];
const ALIASES: Record<string, string> = { acc: 'accuracy' };
const PHASE_SLOTS: Record<Phase, number> = { train: 0, val: 1, test: 2, '': 0 };
/** Lines without a phase stay in front: the order of the legend is that of a run. */
const ORDER: Phase[] = ['', 'train', 'val', 'test'];
const LOWER = /(loss|error|err|mse|mae|rmse|mape|mase|nll|bpb|bpc|perplexity|ppl|wer|cer|fid)$/;
const HIGHER =
  /(acc|accuracy|f1|auc|auroc|precision|recall|iou|dice|psnr|ssim|bleu|rouge|reward|return|score|r2|map|hits)$/;
/** As LearningRateMonitor names them: `lr-Adam`, `lr-SGD/pg1`. */
export const RATE = /^(lr([-_/]|$)|learning_rate$)/i;
/** Counters that loggers add to every record: in the table, but no curve. */
const COUNTERS = new Set(['epoch', 'step', 'global_step']);

/** The words of a name, and the phase that one of them tells. */
function split(name: string): { phase: Phase; base: string; group: string } {
  const plain = name.replace(/\/dataloader_idx_\d+$/, '').replace(/_(step|epoch)$/, '');
  const parts = plain.split('/');
  let phase: Phase = '';
  const kept = parts
    .map(part => {
      const words = part.split(/[_\-.\s]+/).filter(word => {
        const found = phase === '' ? PHASES.find(([pattern]) => pattern.test(word.toLowerCase())) : undefined;
        phase = found ? found[1] : phase;
        return !found;
      });
      return words.join('_');
    })
    .filter(Boolean);
  const base = kept.pop() ?? plain;
  return { phase, base, group: kept.join('/') };
}

/** The part of the run that the metric's name tells of. */
export function phaseOf(name: string): Phase {
  return split(name).phase;
}

/** The chart that a metric belongs to: `train_loss`, `val/loss` and `loss` share one; `a/b` goes to the group `a`. */
export function familyKey(name: string): string {
  if (RATE.test(name)) {
    return 'learning rate';
  }
  const { base, group } = split(name);
  const word = base.toLowerCase();
  return group.toLowerCase() || ALIASES[word] || word;
}

function labelOf(name: string, key: string): string {
  return name.toLowerCase().startsWith(`${key}/`) ? name.slice(key.length + 1) : name;
}

/** Whether small or large values of the metric are good. */
export function direction(name: string): Direction {
  const word = split(name).base.toLowerCase();
  return LOWER.test(word) ? -1 : HIGHER.test(word) ? 1 : 0;
}

function rank(key: string): number {
  if (key === 'loss') {
    return 0;
  }
  if (key.endsWith('loss')) {
    return 1;
  }
  if (key === 'accuracy') {
    return 2;
  }
  return key === 'learning rate' ? 4 : 3;
}

/** Sort metrics into charts: loss first, then other losses, accuracy, the others as they came, learning rate last. */
export function families(series: Iterable<{ id: number; name: string }>): Family[] {
  const found = new Map<string, Family>();
  for (const { id, name } of series) {
    if (COUNTERS.has(name)) {
      continue;
    }
    const key = familyKey(name);
    const family = found.get(key) ?? { key, title: key.replace(/_/g, ' '), lines: [] };
    found.set(key, family);
    family.lines.push({ id, name, label: labelOf(name, key), phase: split(name).phase, slot: -1 });
  }
  for (const family of found.values()) {
    giveSlots(family.lines);
    family.lines.sort((a, b) => ORDER.indexOf(a.phase) - ORDER.indexOf(b.phase));
    if (family.lines.length === 1 && family.key !== 'loss' && family.key !== 'accuracy') {
      family.title = family.lines[0].name;
    }
  }
  return [...found.values()].sort((a, b) => rank(a.key) - rank(b.key));
}

/** A phase has its own look; a second line of the same phase, and every further one, takes the next that is free. */
function giveSlots(lines: Line[]): void {
  const taken = new Set<number>();
  for (const line of lines) {
    const wanted = PHASE_SLOTS[line.phase];
    if (!taken.has(wanted)) {
      line.slot = wanted;
      taken.add(wanted);
    }
  }
  let next = 0;
  for (const line of lines) {
    if (line.slot < 0) {
      while (taken.has(next)) {
        next += 1;
      }
      line.slot = next;
      taken.add(next);
    }
  }
}
