/**
 * Packets are read as the server wrote them. It must not know how they are shown.
 */
import { describe, expect, it } from 'vitest';
import { decodePacket, PacketError } from './packet';
import { RunStore } from './store';
import { aStatus, bytesOf, encode, example } from './testing/packets';

const NAMES = ['empty', 'whole', 'reduced', 'continued', 'window'];

function numbers(values: (number | string)[]): number[] {
  return values.map(value => Math.fround(Number(String(value).replace('inf', 'Infinity').replace('nan', 'NaN'))));
}

describe('decodePacket', () => {
  it.each(NAMES)('reads the example "%s" as it says', name => {
    const { header, points } = decodePacket(bytesOf(name));
    const expected = example(name);
    expect(header).toEqual(expected.header);
    expect(points.map(({ x }) => [...x])).toEqual(expected.series.map(({ x }) => x));
    expect(points.map(({ y }) => [...y])).toEqual(expected.series.map(({ y }) => numbers(y)));
  });

  it('refuses what is no packet: another answer, a cut one, a header that is none', () => {
    const page = new TextEncoder().encode('<!DOCTYPE html><html></html>').buffer;
    expect(() => decodePacket(page)).toThrow(PacketError);
    expect(() => decodePacket(new ArrayBuffer(3))).toThrow(PacketError);
    const whole = bytesOf('whole');
    for (const length of [7, 40, whole.byteLength - 8]) {
      expect(() => decodePacket(whole.slice(0, length))).toThrow(PacketError);
    }
    const broken = whole.slice(0);
    new Uint8Array(broken)[9] = 0;
    expect(() => decodePacket(broken)).toThrow(/not JSON/);
  });

  it('keeps no hold of the packet', () => {
    const buffer = encode([{ name: 'loss', x: [1, 2, 3], y: [3, 2, 1] }], aStatus());
    const { points } = decodePacket(buffer);
    new Uint8Array(buffer).fill(0);
    expect([...points[0].x]).toEqual([1, 2, 3]);
    expect([...points[0].y]).toEqual([3, 2, 1]);
  });
});

describe('RunStore', () => {
  it('is the same whether a run comes at once or in parts', () => {
    const parts = new RunStore();
    parts.merge(decodePacket(bytesOf('reduced')));
    const whole = parts.series.get(0);
    const before = [...(whole?.y.subarray(0, whole.length) ?? [])];
    expect(parts.query(64).have).toBe(example('continued').query.have);
    const change = parts.merge(decodePacket(bytesOf('continued')));
    const after = parts.series.get(0);
    expect([...(after?.y.subarray(0, after.length) ?? [])]).toEqual(before);
    expect(change.shape).toBe(false);
    expect(change.events).toEqual([]);
  });

  it('appends, drops the bucket that has grown, and starts again with another stride', () => {
    const store = new RunStore();
    const points = (): number[] => [...(store.series.get(0)?.y.subarray(0, store.series.get(0)?.length) ?? [])];
    store.merge(decodePacket(encode([{ name: 'a', x: [0, 1], y: [1, 2] }], aStatus())));
    expect(store.query(512)).toEqual({ width: 512, axis: 'step', have: '0:1:2', events: 0 });
    store.merge(decodePacket(encode([{ name: 'a', x: [2], y: [3], start: 2 }], aStatus())));
    expect(points()).toEqual([1, 2, 3]);
    store.merge(
      decodePacket(encode([{ name: 'a', x: [0, 1, 2, 3], y: [1, 2, 3, 4], stride: 2, total: 4 }], aStatus()))
    );
    expect(points()).toEqual([1, 2, 3, 4]);
    expect(store.query(512).have).toBe('0:2:2');
    store.merge(decodePacket(encode([{ name: 'a', x: [2, 3], y: [3, 9], stride: 2, start: 1, total: 4 }], aStatus())));
    expect(points()).toEqual([1, 2, 3, 9]);
  });

  it('tells which series have news, and grows past its first room', () => {
    const store = new RunStore();
    const x = Array.from({ length: 500 }, (_, i) => i);
    store.merge(
      decodePacket(
        encode(
          [
            { name: 'a', x: [0], y: [1] },
            { name: 'b', x: [0], y: [1] }
          ],
          aStatus()
        )
      )
    );
    const two = [
      { name: 'a', x, y: x, start: 1 },
      { name: 'b', x: [], y: [], start: 1 }
    ];
    const change = store.merge(decodePacket(encode(two, aStatus())));
    expect([...change.series]).toEqual([0]);
    expect(store.series.get(0)?.length).toBe(501);
    expect(store.series.get(0)?.x[500]).toBe(499);
  });

  it('follows the events, also when their log was replaced', () => {
    const store = new RunStore();
    const event = (n: number): { event: string; time: number } => ({ event: 'EpochEnded', time: n });
    store.merge(decodePacket(encode([], aStatus(), [event(1), event(2)], 2)));
    expect(store.query(64).events).toBe(2);
    expect(store.merge(decodePacket(encode([], aStatus(), [], 2))).events).toEqual([]);
    store.merge(decodePacket(encode([], aStatus(), [event(3)], 3)));
    expect(store.events.map(({ time }) => time)).toEqual([1, 2, 3]);
    store.merge(decodePacket(encode([], aStatus(), [event(9)], 1)));
    expect(store.events.map(({ time }) => time)).toEqual([9]);
  });

  it('drops its points with the axis, and an answer that still speaks of the old one', () => {
    const store = new RunStore();
    const packet = decodePacket(encode([{ name: 'a', x: [0, 1], y: [1, 2] }], aStatus()));
    store.merge(packet);
    store.setAxis('epoch');
    expect(store.query(64)).toMatchObject({ axis: 'epoch', have: '0:1:0' });
    store.merge(packet);
    expect(store.series.get(0)?.length).toBe(0);
  });

  it('keeps a window apart, with the last and best values of the whole run', () => {
    const store = new RunStore();
    store.setAxis('epoch');
    store.merge({ ...decodePacket(bytesOf('window')), header: { ...decodePacket(bytesOf('window')).header } });
    const last = store.series.get(0)?.last;
    store.series.get(0)!.last = 42;
    const closer = store.closer(decodePacket(bytesOf('window')));
    expect(closer[0].length).toBe(example('window').header.series[0].points);
    expect(last).not.toBe(42);
    expect(closer[0].last).toBe(42);
    expect(store.series.get(0)).not.toBe(closer[0]);
  });
});
