// Whether a server that has died is started again. Knows nothing of VS Code.

const MOST = 4;
const WITHIN_MS = 3 * 60 * 1000;

/** Restarts a server that ran, up to four times in three minutes; one that never got ready would not the next time. */
export class CrashPolicy {
  private crashes: number[] = [];

  /** wasReady: whether it had answered `initialize`. now: a time in ms. */
  restarts(wasReady: boolean, now: number): boolean {
    this.crashes = [...this.crashes.filter((time) => now - time < WITHIN_MS), now];
    return wasReady && this.crashes.length <= MOST;
  }
}
