/**
 * Reads a packet: header and points, little-endian, as the server and the kernel send it.
 * It must not know what the numbers are shown for.
 */
import type { Axis, MetricValue, RunStatus } from './source';

/** One thing that happened in the run; `event` is the name of its kind. */
export interface RunEvent {
  event: string;
  time: number;
  step?: number;
  epoch?: number;
  [detail: string]: unknown;
}

/** A position on the axis and a value. */
export type Spot = [number, MetricValue];

/** What a packet says about one series. `points` follow from bucket `start` on. */
export interface SeriesHeader {
  id: number;
  name: string;
  prog_bar: boolean;
  /** Places of the first and last point, null without any. */
  span?: [number, number] | null;
  stride: number;
  start: number;
  points: number;
  total: number;
  last: MetricValue | null;
  min: Spot | null;
  max: Spot | null;
  nonfinite: Spot[];
  /** How many stretches of the series were abandoned so far. */
  branches?: number;
}

/** A stretch that was abandoned when the run went on from an earlier checkpoint. */
export interface BranchHeader {
  series: number;
  /** Its number among the series' branches, from 0. */
  number: number;
  points: number;
  total: number;
}

export interface PacketHeader {
  run: string;
  name: string;
  notebook: string;
  axis: Axis;
  status: RunStatus;
  series: SeriesHeader[];
  branches?: BranchHeader[];
  events: RunEvent[];
  events_next: number;
}

export interface Packet {
  header: PacketHeader;
  /** One pair for each entry of `header.series`, then of `header.branches`. */
  points: { x: Float64Array; y: Float32Array }[];
}

/** The bytes are no packet: something else answered, or the answer was cut off. */
export class PacketError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PacketError';
  }
}

const MAGIC = 0x3143534c; // "LSC1", little-endian
const PREFIX = 8;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Read a packet.
 *
 * @throws PacketError if the bytes are no packet or are cut off.
 */
export function decodePacket(buffer: ArrayBuffer): Packet {
  const view = new DataView(buffer);
  if (buffer.byteLength < PREFIX || view.getUint32(0, true) !== MAGIC) {
    throw new PacketError('The answer is not a packet of a run');
  }
  const length = view.getUint32(4, true);
  if (PREFIX + length > buffer.byteLength) {
    throw new PacketError('The packet is cut off in its header');
  }
  const header = readHeader(new Uint8Array(buffer, PREFIX, length));
  const points: Packet['points'] = [];
  let at = PREFIX + length;
  for (const { points: n } of [...header.series, ...(header.branches ?? [])]) {
    const end = at + 8 * n + padded(4 * n);
    if (end > buffer.byteLength) {
      throw new PacketError('The packet is cut off in its points');
    }
    points.push({ x: floats64(view, at, n), y: floats32(view, at + 8 * n, n) });
    at = end;
  }
  return { header, points };
}

function readHeader(bytes: Uint8Array): PacketHeader {
  let header: PacketHeader;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes)) as PacketHeader;
  } catch {
    throw new PacketError('The header of the packet is not JSON');
  }
  if (!Array.isArray(header.series) || !header.status || !Array.isArray(header.events)) {
    throw new PacketError('The header of the packet lacks series, status or events');
  }
  return header;
}

/** Copies: the store keeps the numbers longer than the packet. */
function floats64(view: DataView, at: number, n: number): Float64Array {
  if (LITTLE && at % 8 === 0) {
    return new Float64Array(view.buffer as ArrayBuffer, at, n).slice();
  }
  return Float64Array.from({ length: n }, (_, i) => view.getFloat64(at + 8 * i, true));
}

function floats32(view: DataView, at: number, n: number): Float32Array {
  if (LITTLE && at % 4 === 0) {
    return new Float32Array(view.buffer as ArrayBuffer, at, n).slice();
  }
  return Float32Array.from({ length: n }, (_, i) => view.getFloat32(at + 4 * i, true));
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
