/**
 * A running mean that shows where a noisy curve goes.
 * It must not hide anything: whoever draws it draws the raw line too.
 */

/** How many of the steps that the strength counts in lie across the shown range, whatever its resolution. */
const STEPS_ACROSS = 1000;

/**
 * Exponential mean of a curve along x, free of the bias towards its start.
 *
 * The memory is a share of the shown range, so that the picture stays the same when the resolution changes.
 *
 * @param x - places, in order.
 * @param y - values; where one is not finite the mean has a gap and goes on behind it.
 * @param strength - 0 (nothing) up to, but not including, 1.
 * @param range - length of the shown part of the axis.
 */
export function smoothed(x: Float64Array, y: Float32Array, strength: number, range: number): Float32Array {
  const out = new Float32Array(y.length);
  const unit = range > 0 ? STEPS_ACROSS / range : 1;
  let mean = 0;
  let weight = 0;
  let before = NaN;
  for (let i = 0; i < y.length; i++) {
    if (!Number.isFinite(y[i])) {
      out[i] = NaN;
      continue;
    }
    const passed = Number.isNaN(before) ? 1 : Math.max(0.25, (x[i] - before) * unit);
    const keep = strength ** passed;
    mean = mean * keep + y[i] * (1 - keep);
    weight = weight * keep + (1 - keep);
    out[i] = mean / weight;
    before = x[i];
  }
  return out;
}
