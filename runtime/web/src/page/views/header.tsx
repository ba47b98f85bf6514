/** Owns the page's header: the bundle, its providers, and the page's condition. */

import type { State } from "../state.js";
import { condition, placeSentence } from "../words/place.js";

export function Header({ state }: { state: State }) {
  const { tone, words } = condition(state);
  const name = state.opening.stage === "open" ? state.opening.site.manifest.target.name : "edgedraft";
  return (
    <header class="header">
      <div class="header-row">
        <h1 id="bundle-name">{name}</h1>
        <p class={`pill pill-${tone}`} id="condition">
          {words}
        </p>
      </div>
      <p class="place" id="place">
        {placeSentence(state)}
      </p>
    </header>
  );
}
