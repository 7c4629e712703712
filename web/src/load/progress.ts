/** Tells the caller how far files are; nothing that the caller's function does can break a load. */

import type { Progress } from './types.js';

/** Milliseconds between two reports on one file. */
const PAUSE = 50;

export class Reporter {
  constructor(private readonly name: string, private readonly tell?: (progress: Progress) => void) {}

  file(file: string): FileReporter {
    return new FileReporter((progress) => this.say({ ...progress, name: this.name, file }));
  }

  private say(progress: Progress): void {
    try {
      const answer: unknown = this.tell?.(progress);
      if (answer instanceof Promise) answer.catch(() => {});
    } catch {
      // The caller's own affair.
    }
  }
}

export class FileReporter {
  private last = 0;
  private begun = false;

  constructor(private readonly say: (progress: Omit<Progress, 'name'>) => void) {
    say({ status: 'initiate' });
  }

  /** Bytes of this file are here; `total` where it is known. */
  at(loaded: number, total: number | undefined): void {
    if (!this.begun) this.say({ status: 'download' });
    const now = Date.now();
    if (this.begun && now - this.last < PAUSE) return;
    this.begun = true;
    this.last = now;
    this.say({ status: 'progress', ...amount(loaded, total) });
  }

  done(bytes: number): void {
    this.last = 0;
    this.at(bytes, bytes);
    this.say({ status: 'done', ...amount(bytes, bytes) });
  }
}

function amount(loaded: number, total: number | undefined): Pick<Progress, 'loaded' | 'total' | 'progress'> {
  if (total === undefined) return { loaded };
  return { loaded, total, progress: total > 0 ? Math.min(100, (100 * loaded) / total) : 100 };
}
