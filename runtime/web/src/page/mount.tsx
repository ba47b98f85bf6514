/** Owns drawing the page from the state, at most once a frame. */

import { render } from "preact";
import type { Actions } from "./actions.js";
import type { State } from "./state.js";
import type { Store } from "./store.js";
import { App } from "./views/app.js";

/** Calls `draw` soon: in the browser's next frame, or at once in tests. */
export type Schedule = (draw: () => void) => void;

/** Draw `store` into `root`, now and after every change, until the returned function is called. */
export function mount(root: Element, store: Store<State>, actions: Actions, schedule: Schedule): () => void {
  let waiting = false;
  const draw = () => {
    waiting = false;
    render(<App state={store.read()} actions={actions} />, root);
  };
  draw();
  const unsubscribe = store.subscribe(() => {
    if (waiting) return;
    waiting = true;
    schedule(draw);
  });
  return () => {
    unsubscribe();
    render(null, root);
  };
}
