/**
 * The panel's first section: what this machine has and how much of it is used.
 * It must not know kernels or runs.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDevice, IStudio } from '../api';
import { bytesOf } from '../format';
import { Meter, Section } from './parts';

export function Machine(props: { data: IStudio; trans: TranslationBundle }): JSX.Element {
  const { data, trans } = props;
  const { host } = data;
  const accelerators = data.devices.filter(device => device.kind !== 'cpu');
  const cpu = data.devices.find(device => device.kind === 'cpu');
  return (
    <Section title={trans.__('This machine')}>
      <div className="lit-Meters">
        {accelerators.map(device => (
          <Accelerator key={`${device.kind}${device.index}`} device={device} trans={trans} />
        ))}
        <Meter
          name={trans.__('CPU')}
          value={host.cpu_percent === null ? trans.__('measuring…') : `${Math.round(host.cpu_percent)} %`}
          share={host.cpu_percent === null ? null : host.cpu_percent / 100}
          title={cpu?.name}
        />
        <Meter
          name={trans.__('Memory')}
          value={bytesOf(host.memory_used, host.memory_total)}
          share={host.memory_total ? host.memory_used / host.memory_total : null}
        />
        {accelerators.length === 0 ? (
          <p className="lit-Note">
            <b>{trans.__('CPU only.')}</b> {cpu?.reason || trans.__('This server sees no GPU.')}
          </p>
        ) : null}
      </div>
    </Section>
  );
}

function Accelerator(props: { device: IDevice; trans: TranslationBundle }): JSX.Element {
  const { device, trans } = props;
  const { memory_used: used, memory_total: total } = device;
  const busy = device.utilization === null ? '' : `${Math.round(device.utilization)} % · `;
  const memory = used !== null && total ? bytesOf(used, total) : trans.__('memory unknown');
  return (
    <Meter
      name={`${device.index} ${shortName(device.name)}`}
      value={busy + memory}
      share={used !== null && total ? used / total : null}
      title={device.name}
    />
  );
}

/** Without the maker's name, which takes the place that the numbers need. */
function shortName(name: string): string {
  return name.replace(/^(NVIDIA|AMD|Apple)\s+(GeForce\s+|Tesla\s+)?/i, '');
}
