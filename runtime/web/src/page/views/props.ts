/** Owns what views are given: the state, what can be done, and for panels the site that they are of. */

import type { Actions } from "../actions.js";
import type { Site } from "../ports.js";
import type { State } from "../state.js";

export interface ViewProps {
  readonly state: State;
  readonly actions: Actions;
}

export interface PanelProps extends ViewProps {
  readonly site: Site;
}
