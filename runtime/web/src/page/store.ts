/** The one owner of the page's state: actions update it, the view is drawn from it. */

export interface Store<State> {
  /** The state as it is now; never changed in place. */
  read(): State;
  /** Replace some fields; readers hear of it. */
  update(change: (state: State) => Partial<State>): void;
  /** Call `listener` after every update; the returned function ends that. */
  subscribe(listener: () => void): () => void;
}

/** A store that begins with `initial`. */
export function createStore<State extends object>(initial: State): Store<State> {
  let state = initial;
  const listeners = new Set<() => void>();
  return {
    read: () => state,
    update(change) {
      state = { ...state, ...change(state) };
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
