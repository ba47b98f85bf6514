/** Owns the properties of views: the state, the actions, and for panels the site. */

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
