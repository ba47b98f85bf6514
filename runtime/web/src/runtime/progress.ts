/** Owns the callback by which long work reports its progress. */

/** Reports `done` of `total` of `what`: bytes while files load, counts otherwise. */
export interface Progress {
  (what: string, done: number, total: number): void;
}

/** Reports nothing. */
export const silent: Progress = () => {};
