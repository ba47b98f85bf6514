/** Owns turning text into token ids and back, with the tokenizer and chat template of one bundle. */

import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { EdgedraftError, firstLine } from "./errors.js";
import { checkedMessages, fitted, requireShown, templateForm, type Message, type TemplateForm, type TemplateMessage } from "./messages.js";
import { asObject, type Plain } from "./records.js";
import { readSpecialTokens, type SpecialTokens } from "./specialTokens.js";

export type { Message };

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
  private readonly form: TemplateForm | null;
  private readonly texts: Readonly<Record<string, string>>;
  /** The special tokens that the tokenizer adds to a text, and those of bytes. */
  readonly special: SpecialTokens;

  constructor(files: TextFiles) {
    const config = files.config === null ? {} : asObject(files.config, "tokenizer_config.json");
    this.tokenizer = opened(asObject(files.tokenizer, "tokenizer.json"), config);
    this.texts = specialTexts(config);
    this.special = readSpecialTokens(this.tokenizer, config, this.texts["bos_token"]);
    this.template = files.template === null ? null : compiled(files.template);
    this.form = files.template === null ? null : templateForm(files.template, (messages) => this.render(messages, false));
  }

  /**
   * Return the token ids of `text`; special tokens are recognised in it, and none are added. What is no character, such
   * as half of a surrogate pair, is encoded as a replacement character.
   */
  encode(text: string): number[] {
    return this.tokenizer.encode(wellFormed(text), { add_special_tokens: false }).ids;
  }

  /**
   * Return the token ids of a text that no chat template wrote, with the tokenizer's own special tokens. Tokens that
   * stand at its start or end already are not added again.
   */
  encodePrompt(text: string): number[] {
    return this.special.around(this.encode(text));
  }

  /** Return the text of `tokenIds` without special tokens. */
  decode(tokenIds: readonly number[]): string {
    if (tokenIds.length === 0) return "";
    return this.tokenizer.decode([...tokenIds], { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  }

  /** Return the token ids of a conversation that the assistant is to continue; refuse one that the template does not show. */
  encodeChat(messages: readonly Message[]): number[] {
    const checked = checkedMessages(messages);
    if (this.template === null) return this.encodePrompt(this.renderChat(messages));
    requireShown(checked, (marked) => this.inForm(marked));
    return this.encode(this.inForm(checked));
  }

  /** Render a conversation in the model's own chat format; without a template, join its contents by blank lines. */
  renderChat(messages: readonly Message[]): string {
    return this.inForm(checkedMessages(messages));
  }

  private inForm(messages: readonly { role: string; content: string }[]): string {
    if (this.form === null) return messages.map((message) => message.content).join("\n\n");
    return this.render(fitted(messages, this.form), true);
  }

  /** Render messages as they are. */
  private render(messages: readonly TemplateMessage[], answer: boolean): string {
    if (this.template === null) throw new Error("only templates render");
    try {
      return this.template.render({ messages, tools: null, add_generation_prompt: answer, ...this.texts });
    } catch (error) {
      throw new EdgedraftError("chat_template.jinja cannot render this conversation", { got: firstLine(error) });
    }
  }
}

/** Replace each half of a surrogate pair. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
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
function specialTexts(config: Plain): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const name of SPECIAL) {
    const token = config[name] as { content?: unknown } | string | null | undefined;
    const text = typeof token === "object" && token !== null ? token.content : token;
    if (typeof text === "string" && text !== "") texts[name] = text;
  }
  return texts;
}
