/** Owns the callback by which long work reports its progress, and the clock. */

/** Reports `done` of `total` of `what`: bytes while files load, counts otherwise. */
export interface Progress {
  (what: string, done: number, total: number): void;
}

/** Returns seconds that never decrease, such as `() => performance.now() / 1000`. */
export type Clock = () => number;

/** Reports nothing. */
export const silent: Progress = () => {};
