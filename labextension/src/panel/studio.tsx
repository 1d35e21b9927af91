/**
 * The panel's whole content: filter, error strip, sections, keys and announcements.
 * It must not fetch anything: it draws the model it is given.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { KeyboardEvent, RefObject } from 'react';
import { useEffect, useRef, useState } from 'react';
import type { ApiError, IRun } from '../api';
import { clock, isActive, percent, progress, stateWord } from '../format';
import type { IStudioModel } from '../tokens';
import { Kernels } from './kernels';
import { Machine } from './machine';
import { RecentRuns, RunsNow } from './runs';

export function Studio(props: {
  studio: IStudioModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): JSX.Element {
  const { studio, commands, trans } = props;
  const [filter, setFilter] = useState('');
  const [current, setCurrent] = useState('');
  const root = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const { data, error } = studio;
  const matches = matcher(filter);
  const kernels = data?.kernels.filter(each => matches(each.path, each.name, each.execution_state)) ?? [];
  const runs = data?.runs.filter(each => matches(each.name, each.notebook, each.status.state)) ?? [];
  const now = runs.filter(run => isActive(run.status));
  const ended = runs.filter(run => !isActive(run.status));
  const ids = [...kernels.map(each => `kernel:${each.id}`), ...[...now, ...ended].map(each => `run:${each.id}`)];
  // The row that had the focus may be gone: then the first one takes its place in the tab order.
  const roving = { current: ids.includes(current) ? current : (ids[0] ?? ''), setCurrent };
  const shared = { commands, trans, roving, filtered: filter.trim() !== '' };
  const runProps = { ...shared, now: data?.time ?? 0, pending: (id: string) => studio.pending(id) };
  return (
    <div className="lit-Studio" ref={root} onKeyDown={event => onKeyDown(event, root, field)}>
      <div className="lit-Header">
        <FilterField field={field} value={filter} onChange={setFilter} trans={trans} />
      </div>
      {error ? <ErrorStrip error={error} studio={studio} trans={trans} /> : null}
      {data ? (
        <div className="lit-Sections">
          <Machine data={data} trans={trans} />
          <Kernels kernels={kernels} trains={path => studio.activeRunOf(path) !== undefined} {...shared} />
          <RunsNow runs={now} {...runProps} />
          <RecentRuns runs={ended} {...runProps} />
        </div>
      ) : error ? null : (
        <p className="lit-Empty">{trans.__('Looking around…')}</p>
      )}
      <Announcer runs={data?.runs ?? []} trans={trans} />
    </div>
  );
}

/** Whether any of the texts holds every word of the filter. */
function matcher(filter: string): (...texts: string[]) => boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (...texts) => {
    const all = texts.join(' ').toLowerCase();
    return words.every(word => all.includes(word));
  };
}

/** `/` goes to the filter, arrows walk the rows; only while the focus is in the panel. */
function onKeyDown(
  event: KeyboardEvent<HTMLDivElement>,
  root: RefObject<HTMLDivElement>,
  field: RefObject<HTMLInputElement>
): void {
  const inField = event.target === field.current;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (event.key === '/' && !inField) {
    event.preventDefault();
    field.current?.focus();
    field.current?.select();
    return;
  }
  const rows = [...(root.current?.querySelectorAll<HTMLElement>('[data-lit-row]') ?? [])].filter(
    row => row.offsetParent !== null
  );
  const at = rows.findIndex(row => row.contains(document.activeElement));
  const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1) };
  if (!inField) {
    Object.assign(moves, { Home: 0, End: rows.length - 1 });
  }
  const to = moves[event.key];
  if (to !== undefined && rows[to]) {
    event.preventDefault();
    rows[to].focus();
  }
}

function FilterField(props: {
  field: RefObject<HTMLInputElement>;
  value: string;
  onChange: (value: string) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { field, trans } = props;
  return (
    <input
      ref={field}
      className="lit-Filter jp-mod-styled"
      type="search"
      value={props.value}
      placeholder={trans.__('Filter kernels and runs (/)')}
      aria-label={trans.__('Filter kernels and runs')}
      aria-keyshortcuts="/"
      spellCheck={false}
      onChange={event => props.onChange(event.target.value)}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.preventDefault();
          event.stopPropagation();
          props.onChange('');
          const rows = field.current
            ?.closest('.lit-Studio')
            ?.querySelector<HTMLElement>('[data-lit-row][tabindex="0"]');
          rows?.focus();
        }
      }}
    />
  );
}

/** Says what is wrong and how old the numbers below are; they stay in place. */
function ErrorStrip(props: { error: ApiError; studio: IStudioModel; trans: TranslationBundle }): JSX.Element {
  const { error, studio, trans } = props;
  const since = studio.data ? trans.__('Shown as of %1.', clock(studio.asOf)) : '';
  const missing = error.status === 404 ? trans.__('Enable it with: jupyter server extension enable lit_studio') : '';
  return (
    <div className="lit-Error" role="alert">
      <div>
        <b>{error.message}.</b> {[missing || error.advice, since].filter(Boolean).join(' ')}
      </div>
      <button
        type="button"
        className="lit-RowButton"
        title={trans.__('Try again now')}
        aria-label={trans.__('Try again now')}
        onClick={() => void studio.refresh()}
      >
        <refreshIcon.react tag="span" width="16px" />
      </button>
    </div>
  );
}

/** Tells screen readers when a run changes its state or passes a quarter; nothing on the first look. */
function Announcer(props: { runs: IRun[]; trans: TranslationBundle }): JSX.Element {
  const { runs, trans } = props;
  const known = useRef<Map<string, string> | null>(null);
  const [words, setWords] = useState('');
  useEffect(() => {
    const before = known.current;
    const news: string[] = [];
    const after = new Map<string, string>();
    for (const run of runs) {
      const share = progress(run.status);
      const quarter = isActive(run.status) && share !== null ? Math.floor(share * 4) / 4 : null;
      after.set(run.id, `${run.status.state} ${quarter ?? ''}`);
      if (before && before.get(run.id) !== after.get(run.id)) {
        const done = quarter ? `, ${percent(quarter)}` : '';
        news.push(trans.__('%1 %2', run.name, stateWord(run.status.state)) + done);
      }
    }
    known.current = after;
    if (news.length) {
      setWords(news.join('. '));
    }
  }, [runs, trans]);
  return (
    <div className="lit-Announcer" role="status" aria-live="polite">
      {words}
    </div>
  );
}
