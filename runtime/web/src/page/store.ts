/** Owns the page's state: actions update it, and the views are drawn from it. */

export interface Store<State> {
  /** Return the current state, which is never changed in place. */
  read(): State;
  /** Replace some fields and call the listeners. */
  update(change: (state: State) => Partial<State>): void;
  /** Call `listener` after every update, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}

/** Create a store that begins with `initial`. */
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
