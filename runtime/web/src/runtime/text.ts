/** Owns turning text into token ids and back, with the tokenizer and chat template of one bundle. */

import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { EdgedraftError, firstLine } from "./errors.js";
import { asObject, type Plain } from "./records.js";

/** One message of a conversation. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** The files that `TextCodec` reads: parsed JSON, and the template as text; null where the bundle has no such file. */
export interface TextFiles {
  readonly tokenizer: unknown;
  readonly config: unknown;
  readonly template: string | null;
}

const SPECIAL = ["bos_token", "eos_token", "pad_token", "unk_token"] as const;

/** The tokenizer and chat template of one bundle. */
export class TextCodec {
  private readonly tokenizer: Tokenizer;
  private readonly template: Template | null;
  private readonly special: Readonly<Record<string, string>>;

  constructor(files: TextFiles) {
    const config = files.config === null ? {} : asObject(files.config, "tokenizer_config.json");
    this.tokenizer = opened(asObject(files.tokenizer, "tokenizer.json"), config);
    this.special = specialTokens(config);
    this.template = files.template === null ? null : compiled(files.template);
  }

  /** Return the token ids of `text`; special tokens are recognised in it, and none are added. */
  encode(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** Return the text of `tokenIds` without special tokens. */
  decode(tokenIds: readonly number[]): string {
    if (tokenIds.length === 0) return "";
    return this.tokenizer.decode([...tokenIds], { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  }

  /** Return the token ids of a conversation that the assistant is to continue. */
  encodeChat(messages: readonly Message[]): number[] {
    return this.encode(this.renderChat(messages));
  }

  /** Render a conversation in the model's own chat format; without a template, join its contents by blank lines. */
  renderChat(messages: readonly Message[]): string {
    if (this.template === null) return messages.map((message) => message.content).join("\n\n");
    try {
      return this.template.render({ messages, tools: null, add_generation_prompt: true, ...this.special });
    } catch (error) {
      throw new EdgedraftError("chat_template.jinja cannot render this conversation", { got: firstLine(error) });
    }
  }
}

function opened(tokenizer: Plain, config: Plain): Tokenizer {
  try {
    return new Tokenizer({ ...tokenizer, truncation: null, padding: null }, config);
  } catch (error) {
    const remedy = "export the bundle again";
    throw new EdgedraftError("tokenizer.json: not a tokenizer this page can read", { got: firstLine(error), remedy });
  }
}

function compiled(template: string): Template {
  try {
    return new Template(template);
  } catch (error) {
    throw new EdgedraftError("chat_template.jinja: not a template this page can read", { got: firstLine(error) });
  }
}

/** Return the texts of special tokens that a template may name. */
function specialTokens(config: Plain): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const name of SPECIAL) {
    const token = config[name] as { content?: unknown } | string | null | undefined;
    const text = typeof token === "object" && token !== null ? token.content : token;
    if (typeof text === "string" && text !== "") texts[name] = text;
  }
  return texts;
}
