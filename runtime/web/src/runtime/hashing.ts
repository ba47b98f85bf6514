/** Owns SHA-256 of large files: piece by piece, without a copy of the whole. */

import { createSHA256 } from "hash-wasm";
import { yieldToEventLoop } from "./queue.js";

const PIECE_BYTES = 8 * 2 ** 20;

/** Return the SHA-256 of `bytes` in lower-case hexadecimal digits. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hasher = await createSHA256();
  hasher.init();
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    if (start > 0) await yieldToEventLoop(); // keep the page responsive
    hasher.update(bytes.subarray(start, start + PIECE_BYTES));
  }
  return hasher.digest("hex");
}
