/**
 * The panel's sections of runs: those that train now, and those that have ended.
 * It must not know how a run is steered: it executes commands.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { runIcon, stopIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { CommandName, IRun } from '../api';
import { ago, basename, headline, metric, percent, place, progress, stateWord, timeLeft } from '../format';
import { pauseIcon } from '../icons';
import { CommandIDs } from '../tokens';
import { IRoving, Row, RowButton, Section, Sparkline, StateGlyph } from './parts';

interface IRunsProps {
  runs: IRun[];
  filtered: boolean;
  now: number;
  pending: (run: string) => CommandName | undefined;
  commands: CommandRegistry;
  roving: IRoving;
  trans: TranslationBundle;
}

export function RunsNow(props: IRunsProps): JSX.Element {
  const { runs, trans } = props;
  return (
    <Section title={trans.__('Runs now')} count={runs.length}>
      {runs.length ? (
        <ul className="lit-List">
          {runs.map(run => (
            <ActiveRun key={run.id} run={run} {...props} />
          ))}
        </ul>
      ) : (
        <p className="lit-Empty">
          {props.filtered ? trans.__('No run matches.') : trans.__('Nothing trains. A cell with ')}
          {props.filtered ? null : (
            <>
              <code>trainer.fit(…)</code>
              {trans.__(' shows up here.')}
            </>
          )}
        </p>
      )}
    </Section>
  );
}

export function RecentRuns(props: IRunsProps): JSX.Element | null {
  const { runs, trans } = props;
  if (!runs.length) {
    return null;
  }
  return (
    <Section title={trans.__('Recent runs')} count={runs.length}>
      <ul className="lit-List">
        {runs.map(run => (
          <EndedRun key={run.id} run={run} {...props} />
        ))}
      </ul>
    </Section>
  );
}

/** What a request that waits to take effect is called. */
function pendingWord(name: CommandName | undefined, trans: TranslationBundle): string {
  const words: Partial<Record<CommandName, string>> = {
    pause: trans.__('pausing…'),
    resume: trans.__('resuming…'),
    stop: trans.__('stopping…'),
    save: trans.__('saving…')
  };
  return (name && words[name]) || '';
}

function ActiveRun(props: IRunsProps & { run: IRun }): JSX.Element {
  const { run, commands, trans } = props;
  const { status } = run;
  const act = (command: string) => () => void commands.execute(command, { run: run.id });
  const share = progress(status);
  const done = share === null ? '' : percent(share);
  const left = timeLeft(status);
  const paused = status.state === 'paused';
  const state = pendingWord(props.pending(run.id), trans) || (paused ? trans.__('paused') : place(status));
  const best = headline(run);
  const where = basename(run.notebook) || trans.__('script');
  return (
    <Row
      id={`run:${run.id}`}
      className={`lit-Run lit-mod-${status.state}`}
      label={[run.name, where, state, done, left].filter(Boolean).join(', ')}
      title={run.notebook ? trans.__('Go to the output of %1 in %2', run.name, run.notebook) : run.directory}
      roving={props.roving}
      onOpen={act(CommandIDs.reveal)}
      onSpace={act(CommandIDs.pauseResume)}
    >
      <div className="lit-Run-head">
        <StateGlyph state={status.state} />
        <span className="lit-Row-name">{run.name}</span>
        <span className="lit-Run-where">{where}</span>
        <Steering {...props} />
      </div>
      <Sparkline values={run.sparkline ?? []} live={!paused}>
        {best ? (
          <span className="lit-Run-metric" title={best[0]}>
            <span>{best[0]}</span> <b>{metric(best[1])}</b>
          </span>
        ) : null}
      </Sparkline>
      <ProgressBar share={share} label={trans.__('Progress of %1', run.name)} />
      <div className="lit-Run-facts">
        <span className="lit-Run-percent">{done}</span>
        <span className="lit-Run-state">{[state, left && trans.__('%1 left', left)].filter(Boolean).join(' · ')}</span>
      </div>
    </Row>
  );
}

/** Pause or Resume, and Stop; out of use while an earlier request waits to take effect. */
function Steering(props: IRunsProps & { run: IRun }): JSX.Element {
  const { run, commands, trans } = props;
  const act = (command: string) => () => void commands.execute(command, { run: run.id });
  const paused = run.status.state === 'paused';
  const waiting = props.pending(run.id);
  return (
    <span className="lit-Run-acts">
      <RowButton
        icon={paused ? runIcon : pauseIcon}
        label={paused ? trans.__('Resume %1', run.name) : trans.__('Pause %1', run.name)}
        disabled={waiting === 'pause' || waiting === 'resume' || waiting === 'stop'}
        onClick={act(CommandIDs.pauseResume)}
      />
      <RowButton
        icon={stopIcon}
        label={trans.__('Stop %1', run.name)}
        disabled={waiting === 'stop'}
        onClick={act(CommandIDs.stop)}
      />
    </span>
  );
}

/** `share` is 0 to 1; null, where the end is not known, moves to and fro. */
function ProgressBar(props: { share: number | null; label: string }): JSX.Element {
  const { share } = props;
  return (
    <div
      className={`lit-Bar lit-Run-bar ${share === null ? 'lit-mod-unknown' : ''}`}
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share === null ? undefined : Math.floor(share * 100)}
    >
      <span style={{ width: share === null ? undefined : `${share * 100}%` }} />
    </div>
  );
}

function EndedRun(props: IRunsProps & { run: IRun }): JSX.Element {
  const { run, commands, trans } = props;
  const { status } = run;
  const best = headline(run);
  const when = ago(props.now - (status.updated || run.created));
  const where = basename(run.notebook) || trans.__('script');
  const facts = [stateWord(status.state), when];
  return (
    <Row
      id={`run:${run.id}`}
      className={`lit-Ended lit-mod-${status.state}`}
      label={[run.name, where, ...facts].join(', ')}
      title={status.error || `${run.directory}\n${stateWord(status.state)}`}
      roving={props.roving}
      onOpen={() => void commands.execute(CommandIDs.reveal, { run: run.id })}
    >
      <StateGlyph state={status.state} />
      <div className="lit-Row-main">
        <div className="lit-Row-name">
          {run.name} <span className="lit-Run-where">{where}</span>
        </div>
        <div className="lit-Row-facts">{facts.join(' · ')}</div>
      </div>
      <div className="lit-Ended-result">
        {best ? (
          <>
            <b>{metric(best[1])}</b>
            <span title={best[0]}>{best[0]}</span>
          </>
        ) : null}
      </div>
    </Row>
  );
}
