/**
 * Packets for tests: the example files that both sides test against, and an encoder for packets of one's own.
 * It must not be imported by the product.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { PacketHeader, RunEvent, SeriesHeader } from '../packet';
import type { MetricValue, RunStatus } from '../source';

const FOLDER = resolve(import.meta.dirname, '../../../../tests/fixtures/packets');

export interface Example {
  query: Record<string, unknown>;
  header: PacketHeader;
  series: { x: number[]; y: MetricValue[] }[];
}

/** The bytes of an example. */
export function bytesOf(name: string): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = readFileSync(`${FOLDER}/${name}.bin`);
  return buffer.slice(byteOffset, byteOffset + byteLength);
}

/** What an example says. */
export function example(name: string): Example {
  return JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf-8')) as Example;
}

export function aStatus(changes: Partial<RunStatus> = {}): RunStatus {
  return {
    state: 'running',
    stage: 'train',
    step: 10,
    planned_steps: 100,
    epoch: 0,
    max_epochs: 2,
    batch: 10,
    batches: 50,
    rate: 20,
    samples_per_second: 640,
    eta: 4.5,
    data_wait: 0.02,
    active: 0.5,
    learning_rate: 0.001,
    device: 'cpu',
    started: 1_700_000_000,
    updated: 1_700_000_001,
    headline: {},
    metrics: {},
    error: '',
    ...changes
  };
}

export interface Curve {
  name: string;
  x: number[];
  y: number[];
  start?: number;
  total?: number;
  stride?: number;
  progBar?: boolean;
}

/** A packet with these curves, each whole unless `start` says otherwise. */
export function encode(curves: Curve[], status: RunStatus, events: RunEvent[] = [], next = events.length): ArrayBuffer {
  const series: SeriesHeader[] = curves.map(({ name, x, y, start = 0, total, stride = 1, progBar = false }, id) => ({
    id,
    name,
    prog_bar: progBar,
    stride,
    start,
    points: x.length,
    total: total ?? start + x.length,
    last: y[y.length - 1] ?? null,
    min: y.length ? [x[y.indexOf(Math.min(...y))], Math.min(...y)] : null,
    max: y.length ? [x[y.indexOf(Math.max(...y))], Math.max(...y)] : null,
    nonfinite: []
  }));
  const header: PacketHeader = {
    run: 'abcd1234',
    name: 'version_0',
    notebook: 'digits.ipynb',
    axis: 'step',
    status,
    series,
    events,
    events_next: next
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const head = Math.ceil(text.length / 8) * 8;
  const body = curves.reduce((sum, { x }) => sum + 8 * x.length + Math.ceil(x.length / 2) * 8, 0);
  const buffer = new ArrayBuffer(8 + head + body);
  new Uint8Array(buffer).fill(32, 8, 8 + head);
  new Uint8Array(buffer).set(new TextEncoder().encode('LSC1'));
  new DataView(buffer).setUint32(4, head, true);
  new Uint8Array(buffer).set(text, 8);
  let at = 8 + head;
  for (const { x, y } of curves) {
    new Float64Array(buffer, at, x.length).set(x);
    new Float32Array(buffer, at + 8 * x.length, y.length).set(y);
    at += 8 * x.length + Math.ceil(y.length / 2) * 8;
  }
  return buffer;
}
