/**
 * The panel's section of live kernels.
 * It must not know how a kernel is interrupted or ended: it executes commands.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, stopIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IKernel } from '../api';
import { basename, bytes } from '../format';
import { CommandIDs } from '../tokens';
import { IRoving, Row, RowButton, Section } from './parts';

export function Kernels(props: {
  kernels: IKernel[];
  /** Whether a run of the notebook at a path is active. */
  trains: (path: string) => boolean;
  filtered: boolean;
  commands: CommandRegistry;
  roving: IRoving;
  trans: TranslationBundle;
}): JSX.Element {
  const { kernels, trans, commands } = props;
  return (
    <Section title={trans.__('Kernels')} count={kernels.length}>
      {kernels.length ? (
        <ul className="lit-List">
          {kernels.map(kernel => (
            <KernelRow key={kernel.id} kernel={kernel} {...props} />
          ))}
        </ul>
      ) : props.filtered ? (
        <p className="lit-Empty">{trans.__('No kernel matches.')}</p>
      ) : (
        <p className="lit-Empty">
          {trans.__('No kernels. Open a notebook, or ')}
          <button type="button" className="lit-Link" onClick={() => void commands.execute(CommandIDs.quickstart)}>
            {trans.__('start with the quickstart')}
          </button>
          .
        </p>
      )}
    </Section>
  );
}

function KernelRow(props: {
  kernel: IKernel;
  trains: (path: string) => boolean;
  commands: CommandRegistry;
  roving: IRoving;
  trans: TranslationBundle;
}): JSX.Element {
  const { kernel, commands, trans } = props;
  const act = (command: string) => () => void commands.execute(command, { kernel: kernel.id });
  const name = basename(kernel.path) || kernel.name;
  // A widget's message makes a kernel report itself idle in mid-cell: an active run knows better.
  const state = kernel.path && props.trains(kernel.path) ? 'busy' : kernel.execution_state || kernel.state;
  const facts = [stateWord(state, trans), ...usage(kernel)];
  return (
    <Row
      id={`kernel:${kernel.id}`}
      className={`lit-Kernel lit-mod-${state}`}
      label={[name, ...facts].join(', ')}
      title={kernel.path ? `${kernel.path}\n${kernel.name}` : kernel.name}
      roving={props.roving}
      onOpen={kernel.path ? act(CommandIDs.openNotebook) : undefined}
      onDelete={act(CommandIDs.shutdownKernel)}
    >
      <span className="lit-Dot" aria-hidden="true" />
      <div className="lit-Row-main">
        <div className="lit-Row-name">{name}</div>
        <div className="lit-Row-facts">{facts.join(' · ')}</div>
      </div>
      <div className="lit-Row-acts">
        <RowButton
          icon={stopIcon}
          label={trans.__('Interrupt %1', name)}
          disabled={state !== 'busy'}
          onClick={act(CommandIDs.interruptKernel)}
        />
        <RowButton icon={closeIcon} label={trans.__('Shut down %1', name)} onClick={act(CommandIDs.shutdownKernel)} />
      </div>
    </Row>
  );
}

function stateWord(state: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    busy: trans.__('running'),
    idle: trans.__('idle'),
    starting: trans.__('starting'),
    dead: trans.__('dead')
  };
  return words[state] ?? state;
}

/** Memory and load; a part that can't be measured is left out rather than shown as zero. */
function usage(kernel: IKernel): string[] {
  const facts = Object.entries(kernel.gpu_memory ?? {}).map(([index, memory]) => `GPU ${index} ${bytes(memory)}`);
  if (kernel.memory !== null && kernel.memory !== undefined) {
    facts.push(bytes(kernel.memory));
  }
  if (kernel.cpu_percent !== null && kernel.cpu_percent !== undefined && kernel.cpu_percent >= 1) {
    facts.push(`CPU ${Math.round(kernel.cpu_percent)} %`);
  }
  return facts;
}
