/** Owns the whole page as a function of its state: header, tabs and the selected panel. */

import type { ComponentChildren } from "preact";
import type { Tab } from "../state.js";
import { announcements } from "../words/announce.js";
import { BenchPanel } from "./bench.js";
import { ChatPanel } from "./chat.js";
import { Header } from "./header.js";
import { ProbePanel } from "./probe.js";
import type { ViewProps } from "./props.js";
import { StartPanel } from "./start.js";
import { Tabs } from "./tabs.js";
import { Trouble } from "./parts.js";

export function App({ state, actions }: ViewProps) {
  return (
    <div class="page">
      <Header state={state} />
      {state.opening.stage === "open" && <Tabs selected={state.tab} show={actions.opening.showTab} />}
      <main>
        <Content state={state} actions={actions} />
      </main>
      <div class="visually-hidden" role="status" aria-live="polite" aria-atomic="false" id="announcements">
        {announcements(state).map((line, part) => (
          <p key={part}>{line}</p>
        ))}
      </div>
    </div>
  );
}

function Content({ state, actions }: ViewProps) {
  if (state.opening.stage === "failed") {
    return (
      <Trouble id="opening-problem" problem={state.opening.problem}>
        <button type="button" class="button" id="opening-retry" onClick={actions.opening.open}>
          Try again
        </button>
      </Trouble>
    );
  }
  if (state.opening.stage === "opening") return <p class="lead">Looking at what is offered here…</p>;
  const { site } = state.opening;
  const view = { state, actions, site };
  const panels: Readonly<Record<Tab, () => ComponentChildren>> = {
    start: () => <StartPanel {...view} />,
    chat: () => <ChatPanel {...view} />,
    bench: () => <BenchPanel {...view} />,
    probe: () => <ProbePanel {...view} />,
  };
  return (Object.keys(panels) as Tab[]).map((tab) => (
    <section key={tab} role="tabpanel" id={`panel-${tab}`} class={`panel panel-${tab}`} aria-labelledby={`tab-${tab}`} hidden={tab !== state.tab}>
      {tab === state.tab && panels[tab]()}
    </section>
  ));
}
