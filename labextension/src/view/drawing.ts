/**
 * When charts are drawn: one at a time, only those on the screen, and then a rest of three times as long as it took,
 * by our own work or by the browser's to bring it onto the screen.
 * It must not know what a drawing is.
 */

/** Something that can be drawn. `draw` resolves when it is on the page. */
export interface Drawable {
  element: Element;
}

const REST = 3;
/** After a drawing that took long for other reasons (a new theme, a busy page) the others don't wait as long. */
const REST_MOST = 300;
const TWO_FRAMES = 36;
/** Charts a little below the edge are drawn before they are scrolled into view. */
const AHEAD = '120px';

export class DrawQueue<T extends Drawable> {
  /**
   * @param draw - draws one; what it throws is given to `failed` and the queue goes on.
   */
  constructor(
    private readonly draw: (item: T) => Promise<void>,
    private readonly failed: (error: unknown) => void
  ) {
    this.observer = new IntersectionObserver(entries => this.seen(entries), { rootMargin: AHEAD });
    document.addEventListener('visibilitychange', this.resume);
  }

  add(item: T): void {
    this.items.set(item.element, item);
    this.observer.observe(item.element);
  }

  remove(item: T): void {
    this.items.delete(item.element);
    this.observer.unobserve(item.element);
    this.visible.delete(item);
    this.dirty.delete(item);
  }

  /** Have `item` drawn when its turn comes. */
  ask(item: T): void {
    this.dirty.add(item);
    void this.pump();
  }

  /** Whether the item is on the screen, or nearly. */
  sees(item: T): boolean {
    return this.visible.has(item);
  }

  dispose(): void {
    this.over = true;
    window.clearTimeout(this.timer);
    this.observer.disconnect();
    document.removeEventListener('visibilitychange', this.resume);
  }

  private readonly observer: IntersectionObserver;
  private readonly items = new Map<Element, T>();
  private readonly visible = new Set<T>();
  private readonly dirty = new Set<T>();
  private busy = false;
  private over = false;
  private timer = 0;

  private readonly resume = (): void => void this.pump();

  private seen(entries: IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const item = this.items.get(target);
      if (item && isIntersecting) {
        this.visible.add(item);
      } else if (item) {
        this.visible.delete(item);
      }
    }
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (this.busy) {
      return;
    }
    this.busy = true;
    try {
      for (let item = this.next(); item; item = this.next()) {
        this.dirty.delete(item);
        const began = performance.now();
        try {
          await this.draw(item);
        } catch (error) {
          this.failed(error);
        }
        const worked = performance.now() - began;
        const shown = (await this.frames()) - TWO_FRAMES;
        const rest = Math.min(REST_MOST, REST * Math.max(worked, shown));
        await new Promise<void>(resolve => (this.timer = window.setTimeout(resolve, rest)));
      }
    } finally {
      this.busy = false;
    }
  }

  /**
   * Milliseconds until two frames are there. The browser begins the second only when it has painted the first, so
   * what is beyond two frames' time is what the drawing has cost it.
   */
  private frames(): Promise<number> {
    const began = performance.now();
    return new Promise(resolve => {
      const done = (): void => {
        window.clearTimeout(late);
        resolve(performance.now() - began);
      };
      // A page that is covered gets no frames, a very busy one gets them later than we care to wait.
      const late = window.setTimeout(done, REST_MOST);
      requestAnimationFrame(() => requestAnimationFrame(done));
    });
  }

  private next(): T | undefined {
    if (this.over || document.hidden) {
      return undefined;
    }
    for (const item of this.dirty) {
      if (this.visible.has(item)) {
        return item;
      }
    }
    return undefined;
  }
}
