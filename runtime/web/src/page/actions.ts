/** Owns all actions of the user, gathered from the parts of the page. */

import { chattingActions, type ChattingActions } from "./actions/chatting.js";
import { loadingActions, type EngineBox, type LoadingActions } from "./actions/loading.js";
import { measuringActions, type MeasuringActions } from "./actions/measuring.js";
import { openingActions, type OpeningActions } from "./actions/opening.js";
import type { Ports } from "./ports.js";
import type { State } from "./state.js";
import type { Store } from "./store.js";

export interface Actions {
  readonly opening: OpeningActions;
  readonly loading: LoadingActions;
  readonly chatting: ChattingActions;
  readonly measuring: MeasuringActions;
}

/** Create the actions, which change `store` and reach the world through `ports`. */
export function createActions(store: Store<State>, ports: Ports): Actions {
  const box: EngineBox = { engine: null };
  return {
    opening: openingActions(store, ports),
    loading: loadingActions(store, ports, box),
    chatting: chattingActions(store, ports, box),
    measuring: measuringActions(store, ports, box),
  };
}
