/** Owns turning ids into text as they come, holding back what is not yet whole or may begin a stop string. */

/** The text of ids, without special tokens. */
export type Decode = (tokenIds: readonly number[]) => string;

const BROKEN = "\ufffd";

/** One answer's text. */
export class TextStream {
  /** Whether a stop string is complete. */
  stopped = false;
  private readonly stops: readonly string[];
  private held = "";
  /** Ids whose text is still needed: the last ones told, for what they do to the next, and those not yet told. */
  private window: number[] = [];
  private told = 0;

  constructor(
    private readonly decode: Decode,
    stops: readonly string[] = [],
  ) {
    this.stops = stops.filter((stop) => stop !== "");
  }

  /** The text that `tokenId` makes certain. */
  push(tokenId: number): string {
    this.window.push(tokenId);
    return this.release(this.whole());
  }

  /** The text still held back; bytes that never became a whole character are left out. */
  finish(): string {
    const rest = this.held;
    [this.held, this.window, this.told] = ["", [], 0];
    return rest;
  }

  /** What the window tells beyond what was told, unless it ends within a character. */
  private whole(): string {
    const before = this.decode(this.window.slice(0, this.told));
    const now = this.decode(this.window);
    if (now.length <= before.length || now.endsWith(BROKEN)) return "";
    this.window = this.window.slice(this.told);
    this.told = this.window.length;
    return now.slice(before.length);
  }

  private release(text: string): string {
    this.held += text;
    const found = this.stops.map((stop) => this.held.indexOf(stop)).filter((place) => place >= 0);
    if (found.length > 0) {
      this.stopped = true;
      const ready = this.held.slice(0, Math.min(...found));
      [this.held, this.window, this.told] = ["", [], 0];
      return ready;
    }
    const keep = Math.max(0, ...this.stops.map((stop) => overlap(this.held, stop)));
    const ready = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return ready;
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let size = Math.min(text.length, stop.length - 1); size > 0; size -= 1) {
    if (text.endsWith(stop.slice(0, size))) return size;
  }
  return 0;
}
