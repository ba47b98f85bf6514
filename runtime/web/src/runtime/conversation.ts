/** Owns fitting a conversation into the context by leaving out its oldest messages. */

import { EdgedraftError } from "./errors.js";
import type { Message } from "./text.js";

/** The token ids of a conversation, and how many of its messages were left out to make it fit. */
export interface FittedPrompt {
  readonly tokenIds: readonly number[];
  readonly droppedMessages: number;
}

/**
 * Encode the conversation in at most `maxTokens` tokens, leaving out the oldest messages first. System messages stay.
 * What is left begins with a user's message, as chat templates expect. Throws `EdgedraftError` when not even the last
 * message of the user fits.
 */
export function fitConversation(
  encodeChat: (messages: readonly Message[]) => readonly number[],
  messages: readonly Message[],
  maxTokens: number,
): FittedPrompt {
  const starts = [0, ...messages.flatMap((message, place) => (place > 0 && message.role === "user" ? [place] : []))];
  let tokenIds: readonly number[] = [];
  for (const start of starts) {
    const kept = messages.filter((message, place) => place >= start || message.role === "system");
    tokenIds = encodeChat(kept);
    if (tokenIds.length <= maxTokens) return { tokenIds, droppedMessages: messages.length - kept.length };
  }
  const remedy = "shorten it or open the bundle with a larger context";
  throw new EdgedraftError(`the last message must fit into ${maxTokens} tokens`, { got: tokenIds.length, remedy });
}
