/** Owns the Chat tab: the conversation, the figures of an answer while it is written, and the composer. */

import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { ChatMessage, Run, State } from "../state.js";
import { blocksOf, marked } from "../words/blocks.js";
import { plural, rate, share, twoDigits } from "../words/format.js";
import { figures } from "../words/live.js";
import { comparablePlan, tunedSentence } from "../words/tuned.js";
import { ChatOptionsFields } from "./options.js";
import { NotLoaded, Trouble } from "./parts.js";
import type { PanelProps } from "./props.js";

export function ChatPanel(props: PanelProps) {
  const { state, actions } = props;
  const { chat, loading } = state;
  if (loading.stage !== "loaded") {
    return <NotLoaded what="Load the models first, then chat with them here." goToStart={() => actions.opening.showTab("start")} />;
  }
  const tuned = tunedSentence(loading.tuned);
  return (
    <>
      <h2 class="visually-hidden">Chat</h2>
      <Messages messages={chat.messages} answering={chat.answering} />
      {chat.leftOut > 0 && (
        <p class="hint" id="chat-left-out">
          The conversation has outgrown the model's context: the oldest {plural(chat.leftOut, "message")} were left out of the last answer.
        </p>
      )}
      {tuned !== null && (
        <p class="hint" id="tuned">
          {tuned}
        </p>
      )}
      {chat.problem !== null && <Trouble id="chat-problem" problem={chat.problem} />}
      <div class="dock">
        <Live {...props} />
        <Composer {...props} />
        <ChatOptionsFields {...props} hasFull={loading.hasFull} />
      </div>
    </>
  );
}

function Messages({ messages, answering }: { messages: readonly ChatMessage[]; answering: boolean }) {
  useFollowing(messages);
  if (messages.length === 0) {
    return <p class="empty">Ask something. Words that the drafter proposed and the target kept are marked as they appear.</p>;
  }
  return (
    <>
      <p class="legend" id="legend">
        <span class="drafted">Like this</span>: drafted, and kept by the target
      </p>
      <ol class="messages" id="messages" aria-label="Conversation" aria-busy={answering}>
        {messages.map((message, index) => (
          <Message key={index} message={message} writing={answering && index === messages.length - 1} />
        ))}
      </ol>
    </>
  );
}

function Message({ message, writing }: { message: ChatMessage; writing: boolean }) {
  const body = useMemo(() => <Body runs={message.runs} />, [message]);
  return (
    <li class={`message message-${message.role}`} data-role={message.role}>
      <span class="visually-hidden">{message.role === "user" ? "You: " : "Answer: "}</span>
      {message.runs.length === 0 && writing ? <p class="waiting">Reading the question…</p> : body}
    </li>
  );
}

function Body({ runs }: { runs: readonly Run[] }) {
  return (
    <>
      {blocksOf(runs).map((block, index) =>
        block.kind === "code" ? (
          <pre key={index}>
            <code>{block.runs.map(runView)}</code>
          </pre>
        ) : (
          <p key={index}>{block.runs.map(runView)}</p>
        ),
      )}
    </>
  );
}

function runView({ text, drafted }: Run, index: number) {
  return drafted ? marked(text).map((piece, place) => <Marked key={`${index}.${place}`} {...piece} />) : text;
}

function Marked({ text, mark }: { text: string; mark: boolean }) {
  return mark ? <span class="drafted">{text}</span> : <>{text}</>;
}

function Live({ state, site }: { state: State } & Pick<PanelProps, "site">) {
  const { plan: own, provider } = site.manifest;
  const { tokensPerSecond, acceptanceRate, blockEfficiency } = figures(state.chat.counts);
  const comparable = state.loading.stage === "loaded" ? comparablePlan(own, provider, state.loading, state.chat.options) : null;
  const planned = comparable?.plan;
  return (
    <dl class="live" aria-label="Figures of the answer">
      <Figure id="live-rate" term="tokens/s" value={rate(tokensPerSecond)} planned={planned && comparable?.speed ? rate(planned.predicted_tokens_per_second) : null} />
      <Figure id="live-tau" term="tokens a pass (τ)" value={twoDigits(blockEfficiency)} planned={planned ? twoDigits(planned.predicted_block_efficiency) : null} />
      <Figure id="live-acceptance" term="drafts kept" value={share(acceptanceRate)} planned={planned ? share(planned.predicted_acceptance_rate) : null} />
    </dl>
  );
}

function Figure({ id, term, value, planned }: { id: string; term: string; value: string; planned: string | null }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd class="figure" id={id}>
        {value}
      </dd>
      {planned !== null && <dd class="planned">planned {planned}</dd>}
    </div>
  );
}

function Composer({ state, actions }: PanelProps) {
  const { chat } = state;
  const { type, send, stop, newChat } = actions.chatting;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void send();
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    if (chat.answering) stop();
    else void send();
  };
  return (
    <form class="composer" onSubmit={onSubmit}>
      <label class="visually-hidden" for="chat-input">
        Your message
      </label>
      <textarea
        id="chat-input"
        rows={1}
        placeholder="Your message"
        enterkeyhint="send"
        value={chat.typed}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <button type="submit" class="button button-main" id={chat.answering ? "chat-stop" : "chat-send"} disabled={chat.answering ? chat.stopping : chat.typed.trim() === ""}>
        {chat.answering ? (chat.stopping ? "Stopping" : "Stop") : "Send"}
      </button>
      <button type="button" class="button" id="chat-new" disabled={chat.messages.length === 0} onClick={newChat}>
        New
        <span class="visually-hidden"> chat</span>
      </button>
    </form>
  );
}

/** Keep the end in view while it grows, unless the reader has scrolled up. */
function useFollowing(messages: readonly ChatMessage[]): void {
  const following = useRef(true);
  useEffect(() => {
    const look = () => {
      const { scrollTop, clientHeight, scrollHeight } = document.documentElement;
      following.current = scrollHeight - scrollTop - clientHeight < 80;
    };
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, []);
  useLayoutEffect(() => {
    const { documentElement } = document;
    if (following.current) documentElement.scrollTop = documentElement.scrollHeight;
  }, [messages]);
}
