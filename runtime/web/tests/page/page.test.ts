// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { chatting, fakeEngine, fakeWorld, openPage, piece, SESSION, SITE, words } from "./fakes.js";

describe("the tabs", () => {
  const key = (name: string) => new KeyboardEvent("keydown", { key: name, bubbles: true });

  it("are one stop, moved along by arrows, Home and End", async () => {
    const { at } = await openPage(fakeWorld().ports);
    const selected = () => document.querySelector('[role="tab"][aria-selected="true"]')?.id;
    const seen = ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home", "ArrowLeft"].map((name) => {
      at(selected() ?? "").dispatchEvent(key(name));
      return selected();
    });
    expect(seen).toEqual(["tab-chat", "tab-bench", "tab-chat", "tab-probe", "tab-start", "tab-start", "tab-probe"]);
    expect(document.activeElement?.id).toBe("tab-probe");
    expect([...document.querySelectorAll('[role="tab"]')].map((tab) => (tab as HTMLElement).tabIndex)).toEqual([-1, -1, -1, 0]);
  });

  it("each control a panel that is labelled by them; only one panel is shown", async () => {
    const { at, click } = await openPage(fakeWorld().ports);
    await click("tab-bench");
    for (const tab of document.querySelectorAll('[role="tab"]')) {
      const panel = at(tab.getAttribute("aria-controls") ?? "");
      expect(panel.getAttribute("aria-labelledby")).toBe(tab.id);
      expect(panel.hidden).toBe(tab.id !== "tab-bench");
    }
  });

  it("lead back to Start where the models are not loaded", async () => {
    const { at, click, store } = await openPage(fakeWorld().ports);
    await click("tab-chat");
    expect(words(at("panel-chat"))).toContain("Load the models first");
    at("panel-chat").querySelector("button")?.click();
    expect(store.read().tab).toBe("start");
  });
});

describe("the page", () => {
  it("keeps to what a strict policy allows: no style attributes, no inline handlers", async () => {
    const { say, click } = await chatting(fakeEngine([piece("x", true)]));
    await say("Hi");
    for (const tab of ["tab-start", "tab-chat", "tab-bench", "tab-probe"]) {
      await click(tab);
      const attributes = [...document.querySelectorAll("#root *")].flatMap((each) => [...each.attributes].map((attribute) => attribute.name));
      expect(attributes.filter((name) => name === "style" || name.startsWith("on"))).toEqual([]);
    }
  });

  it("names every control for a screen reader", async () => {
    const { click } = await chatting();
    for (const tab of ["tab-start", "tab-chat", "tab-bench", "tab-probe"]) {
      await click(tab);
      for (const control of document.querySelectorAll<HTMLInputElement>("button, select, textarea, input, progress")) {
        const label = control.labels?.[0] ?? document.querySelector(`label[for="${control.id}"]`) ?? control.closest("label");
        const name = control.getAttribute("aria-label") ?? (control.tagName === "BUTTON" ? words(control) : words(label ?? document.createElement("p")));
        expect(name, control.outerHTML).not.toBe("");
      }
    }
  });

  it("shows a bundle of plain files with prompts of its own", async () => {
    const { at, click } = await openPage(fakeWorld({ openSite: async () => ({ ...SITE, session: { ...SESSION, prompts: [] } }) }).ports);
    await click("load");
    await click("tab-bench");
    expect(words(at("panel-bench"))).toContain("on 3 prompts");
  });
});
