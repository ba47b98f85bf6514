import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** Which colours stand on which in the style sheets: text needs 4.5 to its ground. */
const TEXT_ON = [
  ["text", "ground"],
  ["text", "surface"],
  ["text", "sunken"],
  ["text", "problem-soft"],
  ["text", "accent-soft"],
  ["muted", "ground"],
  ["muted", "surface"],
  ["muted", "sunken"],
  ["accent", "ground"],
  ["accent", "surface"],
  ["accent", "accent-soft"],
  ["on-accent", "accent"],
  ["problem", "ground"],
  ["problem", "problem-soft"],
] as const;

/** Borders of controls need 3. */
const EDGES_ON = [
  ["edge", "ground"],
  ["edge", "surface"],
] as const;

const css = readFileSync(new URL("../../src/page/styles/theme.css", import.meta.url), "utf8");
const [light = "", dark = ""] = css.split("prefers-color-scheme: dark");

function colours(part: string): Record<string, string> {
  return Object.fromEntries([...part.matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map(([, name, value]) => [name, value]));
}

/** Relative luminance, WCAG 2. */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

describe.each([
  ["light", colours(light)],
  ["dark", { ...colours(light), ...colours(dark) }],
])("colours of the %s scheme", (_scheme, found) => {
  it.each(TEXT_ON)("%s is legible on %s", (text, ground) =>
    expect(contrast(found[text] ?? "", found[ground] ?? "")).toBeGreaterThanOrEqual(4.5));
  it.each(EDGES_ON)("%s is seen on %s", (edge, ground) => expect(contrast(found[edge] ?? "", found[ground] ?? "")).toBeGreaterThanOrEqual(3));
});

it("measures contrast as the standard does", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
});
