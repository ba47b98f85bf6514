/** Owns the options of an answer: the source and length of drafts, temperature, and longest answer. */

import { LONGEST_DRAFT } from "../../runtime/index.js";
import type { Drafts } from "../state.js";
import { plural } from "../words/format.js";
import { Select } from "./parts.js";
import type { PanelProps } from "./props.js";

const DRAFT_NAMES: Readonly<Record<Drafts, string>> = {
  trimmed: "trimmed drafter",
  full: "full drafter",
  ngram: "n-gram lookup",
  none: "nobody",
};

export function ChatOptionsFields({ state, actions, hasFull }: PanelProps & { hasFull: boolean }) {
  const { options, answering } = state.chat;
  const { setOptions } = actions.chatting;
  const drafts = (["trimmed", "full", "ngram", "none"] as const).filter((each) => each !== "full" || hasFull);
  return (
    <details class="options" id="chat-options">
      <summary>
        {drafting(options.drafts, options.draftLength)}, {options.temperature === 0 ? "greedy" : `temperature ${options.temperature}`}, up to{" "}
        {plural(options.maxNewTokens, "token")}
      </summary>
      <div class="fields">
        <Select
          id="drafts"
          label="Drafts come from"
          value={options.drafts}
          options={drafts.map((value) => ({ value, label: DRAFT_NAMES[value] }))}
          disabled={answering}
          choose={(value) => setOptions({ drafts: value })}
        />
        <Select
          id="draft-length"
          label="Drafts a round"
          value={options.draftLength}
          options={Array.from({ length: LONGEST_DRAFT }, (_, place) => plain(place + 1))}
          disabled={answering || options.drafts === "none"}
          choose={(draftLength) => setOptions({ draftLength })}
        />
        <Select
          id="temperature"
          label="Temperature"
          value={options.temperature}
          options={[{ value: 0, label: "0 (greedy)" }, ...[0.3, 0.5, 0.7, 1].map(plain)]}
          disabled={answering}
          choose={(temperature) => setOptions({ temperature })}
        />
        <Select
          id="max-new-tokens"
          label="Longest answer"
          value={options.maxNewTokens}
          options={[32, 64, 128, 256, 512, 1024].map((value) => ({ value, label: plural(value, "token") }))}
          disabled={answering}
          choose={(maxNewTokens) => setOptions({ maxNewTokens })}
        />
      </div>
    </details>
  );
}

function drafting(drafts: Drafts, draftLength: number): string {
  if (drafts === "none") return "No drafts";
  return `${draftLength === 1 ? "1 draft" : `Up to ${draftLength} drafts`} by the ${DRAFT_NAMES[drafts]}`;
}

function plain(value: number) {
  return { value, label: String(value) };
}
