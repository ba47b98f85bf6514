/** Owns the laws of text: ids there and back, chats by their template, and long talks fitted. */

import { expect, test } from "vitest";
import { fitConversation } from "../../src/runtime/conversation.js";
import { TextCodec, type Message } from "../../src/runtime/text.js";
import { refusalOf } from "./fakes.js";

const VOCAB = Object.fromEntries(["<s>", "</s>", ..."abcdefghijklmnopqrstuvwxyz:Ġ", "ab"].map((token, id) => [token, id]));
const TOKENIZER = {
  version: "1.0",
  truncation: { max_length: 2, strategy: "LongestFirst", stride: 0, direction: "Right" },
  padding: null,
  added_tokens: ["<s>", "</s>"].map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab: VOCAB, merges: [["a", "b"]] },
};
const TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<s>{% endif %}";
const codec = (template: string | null): TextCodec => new TextCodec({ tokenizer: TOKENIZER, config: { bos_token: { content: "<s>" } }, template });
const talk: Message[] = [{ role: "user", content: "ab c" }];

test("text becomes ids without truncation, merged where it can be, and comes back", () => {
  const ids = codec(null).encode("ab cab");
  expect(ids).toEqual([VOCAB.ab, VOCAB["Ġ"], VOCAB.c, VOCAB.ab]);
  expect(codec(null).decode(ids)).toBe("ab cab");
  expect(codec(null).decode([])).toBe("");
});

test("a chat follows its template; special tokens in it count, and are not told as text", () => {
  const ids = codec(TEMPLATE).encodeChat(talk);
  expect([ids[0], ids.at(-2), ids.at(-1)]).toEqual([0, 1, 0]);
  expect(codec(TEMPLATE).decode(ids)).toBe("user: ab c");
  expect(codec(null).renderChat([...talk, ...talk])).toBe("ab c\n\nab c");
});

test("what is no tokenizer, and a template that fails, are refused by name", async () => {
  expect(await refusalOf(() => new TextCodec({ tokenizer: [], config: null, template: null }))).toBe("tokenizer.json: expected an object, got list");
  expect(await refusalOf(() => new TextCodec({ tokenizer: {}, config: null, template: null }))).toMatch(/^tokenizer.json: not a tokenizer this page can read, got /);
  expect(await refusalOf(() => codec("{{ raise_exception('no') }}").renderChat(talk))).toMatch(/^chat_template.jinja cannot render this conversation, got /);
});

test("old turns go first, system messages stay, and a last message that is too long is refused", async () => {
  const turns: Message[] = [
    { role: "system", content: "s" },
    { role: "user", content: "one" },
    { role: "assistant", content: "two" },
    { role: "user", content: "three" },
  ];
  const letters = (messages: readonly Message[]): number[] => messages.flatMap((turn) => [...turn.content].map(() => 0));
  expect(fitConversation(letters, turns, 12)).toEqual({ tokenIds: Array(12).fill(0), droppedMessages: 0 });
  expect(fitConversation(letters, turns, 11)).toEqual({ tokenIds: Array(6).fill(0), droppedMessages: 2 });
  const message = "the last message must fit into 5 tokens, got 6 - shorten it or open the bundle with a larger context";
  expect(await refusalOf(() => fitConversation(letters, turns, 5))).toBe(message);
});
