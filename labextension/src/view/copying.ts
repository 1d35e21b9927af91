/**
 * What a person takes along: a number, a table or a chart as Markdown, or the Python that makes it.
 * It must not know where they stand on the page.
 */
import { make } from './elements';
import type { Translate } from './words';

/** Something that can be copied; both are asked for when it is. */
export interface Copied {
  markdown: () => string | Promise<string>;
  python: () => string;
}

/** Hands a text to the clipboard and says so. */
export type Copy = (what: Copied, asPython: boolean) => void;

/** A small button beside what it copies: Markdown, with Shift the Python. */
export function copyButton(copy: Copy, what: Copied, name: string, trans: Translate): HTMLButtonElement {
  return make(
    'button.lit-copy',
    {
      type: 'button',
      title: trans('Copy as Markdown; with Shift the Python that makes it'),
      'aria-label': `${trans('Copy')}: ${name}`,
      click: (event: MouseEvent) => copy(what, event.shiftKey)
    },
    make('span.lit-icon', { 'aria-hidden': 'true' })
  );
}

/** Put `text` on the clipboard, also where the page may not use it directly (a plain http address). */
export async function toClipboard(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make('textarea', { style: 'position:fixed;opacity:0' });
    field.value = text;
    const { activeElement } = document;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    (activeElement as HTMLElement | null)?.focus();
    if (!done) {
      throw new Error('The clipboard can’t be used here');
    }
  }
}

/** A Markdown table; the first row is its head. */
export function markdownTable(rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.map(cell => cell.replace(/\|/g, '\\|')).join(' | ')} |`;
  const [head, ...body] = rows;
  return [line(head), line(head.map((_, i) => (i ? '---:' : '---'))), ...body.map(line)].join('\n');
}

/** Python that opens the run. */
function opening(run: string): string[] {
  return [
    'from lit_studio.base.runs import find_run',
    'from lit_studio.tracking import RunReader',
    '',
    `run = RunReader(find_run(${quoted(run)}))`
  ];
}

/** Python for one metric's points; `best` adds the smallest (−1) or largest (1) value. */
export function pythonOfNumber(run: string, name: string, best: -1 | 0 | 1): string {
  const lines = [...opening(run), `steps, values = run.values(${quoted(name)})`, 'last = values[-1]'];
  if (best) {
    lines.push(`best = values.${best < 0 ? 'min' : 'max'}()`);
  }
  return lines.join('\n');
}

/** Python for the table of all metrics. */
export function pythonOfTable(run: string): string {
  return [
    ...opening(run),
    'for name in run.names():',
    '    steps, values = run.values(name)',
    '    print(f"{name}: last {values[-1]:.4g}, min {values.min():.4g}, max {values.max():.4g}, {len(values)} points")'
  ].join('\n');
}

/** Python that draws a chart. */
export function pythonOfChart(run: string, names: string[], logY: boolean): string {
  return [
    'import matplotlib.pyplot as plt',
    ...opening(run),
    `for name in [${names.map(quoted).join(', ')}]:`,
    '    plt.plot(*run.values(name), label=name)',
    ...(logY ? ['plt.yscale("log")'] : []),
    'plt.legend()'
  ].join('\n');
}

/** A Python string: JSON's quoting is Python's too. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
