/** Owns fitting a conversation into the context: the rule by which old turns are left out. */

import { EdgedraftError } from "./errors.js";
import type { Message } from "./text.js";

/** The token ids of a conversation, and how many of its messages were left out to make room. */
export interface FittedPrompt {
  readonly tokenIds: readonly number[];
  readonly droppedMessages: number;
}

/**
 * The conversation in at most `room` tokens: system messages stay, the oldest others go first.
 * What is kept begins with a user's message where one is left. Throws when not even the last message fits.
 */
export function fitConversation(
  encodeChat: (messages: readonly Message[]) => readonly number[],
  messages: readonly Message[],
  room: number,
): FittedPrompt {
  const starts = [0, ...messages.flatMap((turn, place) => (place > 0 && turn.role === "user" ? [place] : []))];
  let tokenIds: readonly number[] = [];
  for (const start of starts) {
    const kept = messages.filter((turn, place) => place >= start || turn.role === "system");
    tokenIds = encodeChat(kept);
    if (tokenIds.length <= room) return { tokenIds, droppedMessages: messages.length - kept.length };
  }
  const remedy = "shorten it or open the bundle with a larger context";
  throw new EdgedraftError(`the last message must fit into ${room} tokens`, { got: tokenIds.length, remedy });
}
