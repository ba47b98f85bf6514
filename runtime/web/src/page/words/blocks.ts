/** Owns finding the code in an answer, so that it is set apart even while it is being written. */

import type { Run } from "../state.js";

/** A stretch of text, or of code between fences; `runs` say which model wrote what. */
export interface Block {
  readonly kind: "text" | "code";
  readonly runs: readonly Run[];
}

const FENCE = /^ {0,3}```[^\n`]*(?:\n|$)/gm;

/** Cut an answer at its code fences and leave these out; an open fence runs to the end. */
export function blocksOf(runs: readonly Run[]): readonly Block[] {
  const text = runs.map((run) => run.text).join("");
  const blocks: Block[] = [];
  let start = 0;
  let kind: Block["kind"] = "text";
  for (const fence of [...text.matchAll(FENCE)]) {
    blocks.push({ kind, runs: slice(runs, start, fence.index) });
    start = fence.index + fence[0].length;
    kind = kind === "text" ? "code" : "text";
  }
  blocks.push({ kind, runs: slice(runs, start, text.length) });
  return blocks.map(trimmed).filter((block) => block.runs.length > 0);
}

/** Cut a drafted text so that only words are marked, not indentation nor space at its ends. */
export function marked(text: string): readonly { readonly text: string; readonly mark: boolean }[] {
  const pieces = text.split(/(^\s+|\s+$|\s*\n\s*)/);
  return pieces.map((piece, index) => ({ text: piece, mark: index % 2 === 0 })).filter((piece) => piece.text !== "");
}

/** Return the characters `start`..`end` of all runs together. */
function slice(runs: readonly Run[], start: number, end: number): readonly Run[] {
  const found: Run[] = [];
  let at = 0;
  for (const { text, drafted } of runs) {
    const piece = text.slice(Math.max(start - at, 0), Math.max(end - at, 0));
    if (piece !== "") found.push({ text: piece, drafted });
    at += text.length;
  }
  return found;
}

/** Remove the line ends beside fences, since the blocks have margins of their own. */
function trimmed(block: Block): Block {
  const length = block.runs.reduce((sum, run) => sum + run.text.length, 0);
  const text = block.runs.map((run) => run.text).join("");
  const lead = block.kind === "text" ? text.length - text.replace(/^\n+/, "").length : 0;
  const tail = text.length - text.replace(/\n+$/, "").length;
  return { ...block, runs: slice(block.runs, lead, Math.max(length - tail, lead)) };
}
