/**
 * One line for a person who sees a dashboard for the first time; it goes away by itself and doesn't come back.
 * It must not be needed: everything it says is also in the tooltips.
 */
import { make } from './elements';
import type { Translate } from './words';

const KEY = 'lit-studio:hint-seen';
const SHOW_FOR = 20_000;

/** The hint, or null for a person who has had it. */
export function firstHint(trans: Translate): HTMLElement | null {
  try {
    if (window.localStorage.getItem(KEY)) {
      return null;
    }
    window.localStorage.setItem(KEY, new Date().toISOString());
  } catch {
    return null; // a page without storage would show it forever
  }
  const hint = make('span.lit-hint', {}, trans('drag to zoom · Pause keeps everything in memory'));
  window.setTimeout(() => hint.remove(), SHOW_FOR);
  return hint;
}
