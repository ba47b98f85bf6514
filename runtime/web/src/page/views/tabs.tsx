/** Owns the tabs: together one stop in the tab order, with arrow keys between them, as WAI-ARIA asks. */

import { useEffect, useRef } from "preact/hooks";
import { TABS, type Tab } from "../state.js";

export const TAB_NAMES: Readonly<Record<Tab, string>> = { start: "Start", chat: "Chat", bench: "Bench", probe: "Probe" };

/** Return the tab that a key leads to from `tab`, or null for other keys. */
export function tabAfter(tab: Tab, key: string): Tab | null {
  const at = TABS.indexOf(tab);
  const next: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 };
  const to = next[key];
  return to === undefined ? null : (TABS[(to + TABS.length) % TABS.length] ?? null);
}

export function Tabs({ selected, show }: { selected: Tab; show(tab: Tab): void }) {
  const begun = useRef(false);

  useEffect(() => {
    const focusWasLost = begun.current && document.activeElement === document.body;
    if (focusWasLost) document.getElementById(`tab-${selected}`)?.focus({ preventScroll: true });
    begun.current = true;
  }, [selected]);

  const onKeyDown = (event: KeyboardEvent) => {
    const next = tabAfter(selected, event.key);
    if (next === null) return;
    event.preventDefault();
    show(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Parts of this page" onKeyDown={onKeyDown}>
      {TABS.map((tab) => (
        <button
          key={tab}
          type="button"
          role="tab"
          id={`tab-${tab}`}
          class="tab"
          aria-selected={tab === selected}
          aria-controls={`panel-${tab}`}
          tabIndex={tab === selected ? 0 : -1}
          onClick={() => show(tab)}
        >
          {TAB_NAMES[tab]}
        </button>
      ))}
    </div>
  );
}
