/** A call that runs: one at a time for each tab, with a button that stops it. */

import { isAbort } from './dom.ts';

export class Running {
  #abort: AbortController | undefined;

  /** @param onstop called when the visitor presses `stop` */
  constructor(
    private readonly go: HTMLButtonElement,
    private readonly stop: HTMLButtonElement,
    onstop: () => void = () => {},
  ) {
    stop.addEventListener('click', () => {
      this.cancel();
      onstop();
    });
  }

  get busy(): boolean {
    return this.#abort !== undefined;
  }

  cancel(): void {
    this.#abort?.abort();
  }

  /** Does `work`, after what it replaces has been stopped. Nothing, if it was stopped itself. */
  async run<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R | undefined> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.#show(true);
    try {
      // A worker may be at something that it cannot leave at once: the page goes on.
      const stopped = new Promise<undefined>((resolve) => {
        abort.signal.addEventListener('abort', () => resolve(undefined));
      });
      const working = work(abort.signal);
      working.catch(() => {});
      return await Promise.race([working, stopped]);
    } catch (error) {
      if (abort.signal.aborted || isAbort(error)) return undefined;
      throw error;
    } finally {
      if (this.#abort === abort) {
        this.#abort = undefined;
        this.#show(false);
      }
    }
  }

  /** Whoever used a button that goes stays at the place where it was. */
  #show(busy: boolean): void {
    const [gone, comes] = busy ? [this.go, this.stop] : [this.stop, this.go];
    const hadFocus = document.activeElement === gone;
    comes.hidden = false;
    gone.hidden = true;
    if (hadFocus) comes.focus();
  }
}
