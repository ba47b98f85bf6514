/** Owns the law of errors: one line that says the rule, what was found and what to do. */

import { expect, test } from "vitest";
import { EdgedraftError, demand, firstLine } from "../../src/runtime/errors.js";

test("a message says the rule, what was found and the remedy, as far as they are given", () => {
  expect(new EdgedraftError("a rule").message).toBe("a rule");
  expect(new EdgedraftError("a rule", { got: 3 }).message).toBe("a rule, got 3");
  expect(new EdgedraftError("a rule", { got: 0, remedy: "mend it" }).message).toBe("a rule, got 0 - mend it");
  expect(new EdgedraftError("a rule", { remedy: "mend it" }).message).toBe("a rule - mend it");
});

test("demand throws only where the condition fails", () => {
  expect(() => demand(true, "a rule")).not.toThrow();
  expect(() => demand(false, "a rule", { got: "x" })).toThrow("a rule, got x");
});

test("a foreign error becomes one line", () => {
  expect(firstLine(new Error("first\nsecond"))).toBe("first");
  expect(firstLine(new TypeError(""))).toBe("TypeError");
  expect(firstLine("text")).toBe("text");
});
