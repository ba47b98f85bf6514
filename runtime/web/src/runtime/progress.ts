/** Owns how long work reports where it is. */

/** `done` of `total` of `what`; bytes while files load, counts elsewhere. */
export interface Progress {
  (what: string, done: number, total: number): void;
}

/** Seconds that only ever grow, such as `() => performance.now() / 1000`. */
export type Clock = () => number;

/** Reports nothing. */
export const silent: Progress = () => {};
