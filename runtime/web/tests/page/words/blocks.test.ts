import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blocksOf, marked } from "../../../src/page/words/blocks.js";
import type { Run } from "../../../src/page/state.js";

const own = (text: string): Run => ({ text, drafted: false });
const drafted = (text: string): Run => ({ text, drafted: true });

describe("an answer's blocks", () => {
  it("set code apart and leave the fences out", () =>
    expect(blocksOf([own("Here:\n\n```python\nx = 1\n```\nDone.")])).toEqual([
      { kind: "text", runs: [own("Here:")] },
      { kind: "code", runs: [own("x = 1")] },
      { kind: "text", runs: [own("Done.")] },
    ]));

  it("keep who wrote what across a fence", () =>
    expect(blocksOf([own("A\n``"), drafted("`\nx"), own(" = 1\n"), drafted("```")])).toEqual([
      { kind: "text", runs: [own("A")] },
      { kind: "code", runs: [drafted("x"), own(" = 1")] },
    ]));

  it("show code that is still being written", () =>
    expect(blocksOf([own("```\n  if x:\n")])).toEqual([{ kind: "code", runs: [own("  if x:")] }]));

  it("leave backticks within a line alone", () => expect(blocksOf([own("use ```x``` here")])).toEqual([{ kind: "text", runs: [own("use ```x``` here")] }]));

  it("are none of an empty answer", () => expect(blocksOf([])).toEqual([]));

  it("lose nothing but fences and line ends, however the text is cut into runs", () => {
    const piece = fc.record({ text: fc.constantFrom("a", " b", "\n", "c\n", "`x`"), drafted: fc.boolean() });
    fc.assert(
      fc.property(fc.array(piece), (runs) => {
        const kept = blocksOf(runs).flatMap((block) => block.runs.map((run) => run.text)).join("");
        expect(kept).toBe(runs.map((run) => run.text).join("").replace(/^\n+|\n+$/g, ""));
      }),
    );
  });
});

describe("marks", () => {
  it("lie on words, not on indentation or space at the ends", () =>
    expect(marked(" a b\n    c ").filter((piece) => piece.mark).map((piece) => piece.text)).toEqual(["a b", "c"]));

  it("lose nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", " ", "\n") }), (text) => {
        expect(marked(text).map((piece) => piece.text).join("")).toBe(text);
      }),
    );
  });
});
