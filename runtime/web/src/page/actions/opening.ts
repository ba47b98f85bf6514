/** Owns the start of the page: reading the server's offer and this device's features. */

import type { Ports } from "../ports.js";
import type { Choice, State, Tab } from "../state.js";
import type { Store } from "../store.js";
import { defaultChatOptions, defaultChoice } from "../words/choice.js";
import { problemOf } from "../words/problem.js";

export interface OpeningActions {
  open(): Promise<void>;
  showTab(tab: Tab): void;
  choose(change: Partial<Choice>): Promise<void>;
}

export function openingActions(store: Store<State>, ports: Ports): OpeningActions {
  const actions: OpeningActions = {
    async open() {
      store.update(() => ({ opening: { stage: "opening" } }));
      try {
        const site = await ports.openSite();
        const choice = defaultChoice(site.manifest, site.capabilities);
        store.update((state) => ({
          opening: { stage: "open", site },
          chat: { ...state.chat, options: defaultChatOptions(site.manifest) },
          probe: { ...state.probe, name: site.device.name, providers: site.capabilities.webgpu ? ["webgpu", "wasm"] : ["wasm"] },
        }));
        await actions.choose(choice);
      } catch (error) {
        store.update(() => ({ opening: { stage: "failed", problem: problemOf(error) } }));
      }
    },

    showTab(tab) {
      store.update(() => ({ tab }));
    },

    async choose(change) {
      store.update((state) => ({ choice: { ...state.choice, ...change } }));
      const { opening, choice } = store.read();
      if (opening.stage !== "open") return;
      const wanted = await ports.wantedFiles(opening.site, choice.withFull);
      if (store.read().choice === choice) store.update(() => ({ wanted }));
    },
  };
  return actions;
}
