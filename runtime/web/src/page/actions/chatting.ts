/** Owns the conversation: asking, streaming the answer, stopping, starting a new one. */

import type { DecodingOptions, Message, Round, TextPiece } from "../../runtime/index.js";
import type { OpenEngine, Ports } from "../ports.js";
import { busyWith, type Chat, type ChatMessage, type ChatOptions, type Drafts, type Run, type State } from "../state.js";
import type { Store } from "../store.js";
import { plural, rate } from "../words/format.js";
import { addRound, begin, figures, NO_COUNTS, type Counts } from "../words/live.js";
import { problemOf } from "../words/problem.js";
import type { EngineBox } from "./loading.js";

export interface ChattingActions {
  type(text: string): void;
  send(): Promise<void>;
  stop(): void;
  newChat(): void;
  setOptions(change: Partial<ChatOptions>): void;
}

/** The usual top-p, where tokens are drawn at all. */
const DRAWING = { topP: 0.95 };

export function chattingActions(store: Store<State>, ports: Ports, box: EngineBox): ChattingActions {
  let abort = new AbortController();
  const change = (part: (chat: Chat) => Partial<Chat>) =>
    store.update(({ chat }) => ({ chat: { ...chat, ...part(chat) } }));

  /** Stream one answer to the end of the messages, unless a new chat has replaced them. */
  const answer = async (engine: OpenEngine, asked: readonly ChatMessage[], signal: AbortSignal): Promise<void> => {
    const shown = (part: (chat: Chat) => Partial<Chat>) =>
      change((chat) => (chat.messages.length === asked.length + 1 ? part(chat) : {}));
    const count = (round: Round) => shown(({ counts }) => ({ counts: addRound(counts, round, ports.clock()) }));
    const options = decodingOptions(store.read().chat.options, ports.seed(), signal);
    const messages = asked.map(plain);
    try {
      change(() => ({ leftOut: engine.leftOut(messages, options.maxNewTokens) }));
      for await (const piece of engine.answer(messages, options, count)) {
        if (signal.aborted) break;
        shown((chat) => ({ messages: appended(chat.messages, piece) }));
      }
      shown(({ counts }) => ({ announced: farewell(counts, signal.aborted) }));
    } catch (error) {
      shown(({ counts }) => (signal.aborted ? { announced: farewell(counts, true) } : failure(error)));
    }
  };

  return {
    type: (typed) => change(() => ({ typed })),

    setOptions: (options) => change((chat) => ({ options: { ...chat.options, ...options } })),

    newChat() {
      abort.abort();
      change(() => ({ messages: [], problem: null, counts: NO_COUNTS, leftOut: 0, announced: "New chat" }));
    },

    stop() {
      abort.abort();
      change(() => ({ stopping: true }));
    },

    async send() {
      const { chat } = store.read();
      const text = chat.typed.trim();
      const { engine } = box;
      if (text === "" || engine === null || busyWith(store.read()) !== null) return;
      abort = new AbortController();
      const asked = [...answered(chat.messages), spoken("user", text)];
      change(() => ({ ...BEGINNING, messages: [...asked, { role: "assistant", runs: [] }], counts: begin(ports.clock()) }));
      await answer(engine, asked, abort.signal);
      change(() => ({ answering: false }));
    },
  };
}

const BEGINNING = { typed: "", problem: null, answering: true, stopping: false, announced: "Answering" } as const;

function failure(error: unknown): Partial<Chat> {
  return { problem: problemOf(error), announced: "The answer failed" };
}

function decodingOptions(options: ChatOptions, seed: number, signal: AbortSignal): DecodingOptions {
  const { drafts, draftLength, temperature, maxNewTokens } = options;
  const sampling = temperature > 0 ? { sampling: { temperature, ...DRAWING }, seed } : {};
  return { ...policyOf(drafts), draftLength, maxNewTokens, signal, ...sampling };
}

/** Return the runtime's options for a source of drafts. */
function policyOf(drafts: Drafts): Pick<DecodingOptions, "policy" | "drafter"> {
  if (drafts === "none") return { policy: "plain" };
  return drafts === "ngram" ? { policy: "ngram" } : { policy: "fixed", drafter: drafts };
}

/** Drop a question whose answer failed before its first word, together with the empty answer. */
function answered(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const last = messages.at(-1);
  return last !== undefined && last.runs.length === 0 ? messages.slice(0, -2) : messages;
}

function spoken(role: ChatMessage["role"], text: string): ChatMessage {
  return { role, runs: [{ text, drafted: false }] };
}

function plain(message: ChatMessage): Message {
  return { role: message.role, content: message.runs.map((run) => run.text).join("") };
}

/** Add `piece` to the end of the last message; neighbours of one origin become one run. */
export function appended(messages: readonly ChatMessage[], piece: TextPiece): readonly ChatMessage[] {
  const last = messages.at(-1);
  if (last === undefined || piece.text === "") return messages;
  return [...messages.slice(0, -1), { ...last, runs: joined(last.runs, { text: piece.text, drafted: piece.drafted }) }];
}

function joined(runs: readonly Run[], next: Run): readonly Run[] {
  const last = runs.at(-1);
  if (last === undefined || last.drafted !== next.drafted) return [...runs, next];
  return [...runs.slice(0, -1), { ...last, text: last.text + next.text }];
}

function farewell(counts: Counts, stopped: boolean): string {
  const { tokensPerSecond } = figures(counts);
  const speed = tokensPerSecond === null ? "" : `, ${rate(tokensPerSecond)} tokens per second`;
  return `Answer ${stopped ? "stopped" : "complete"}: ${plural(counts.tokens, "token")}${speed}`;
}
