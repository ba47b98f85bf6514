/** Owns the views that both measurements share: their progress, and sending or saving their result. */

import type { Kind } from "../actions/measuring.js";
import type { Posting, Work } from "../state.js";
import { duration, percent, secondsLeft } from "../words/format.js";
import { ProgressBar, Trouble } from "./parts.js";
import type { ViewProps } from "./props.js";

/** Shows progress with the time left, and the button that stops it. */
export function WorkProgress({ kind, label, work, stop }: { kind: Kind; label: string; work: Work<unknown>; stop(kind: Kind): void }) {
  if (work.stage !== "running") return null;
  const { done, total, what, elapsedSeconds, stopping } = work;
  const left = secondsLeft(done, total, elapsedSeconds);
  return (
    <div class="begin">
      <ProgressBar id={`${kind}-progress`} label={label} done={done} total={total}>
        {total === 0 ? "Starting…" : `${what !== "" ? `${what}: ` : ""}${percent(done, total)} %`}
        {left !== null && `, about ${duration(left)} left`}
      </ProgressBar>
      <p class="hint">Keep this page open and the screen on; other work disturbs the times.</p>
      <button type="button" class="button" id={`${kind}-stop`} disabled={stopping} onClick={() => stop(kind)}>
        {stopping ? "Stopping" : "Stop"}
      </button>
    </div>
  );
}

/** Shows whether the result reached the computer, with buttons to send or save it. */
export function Outcome({ kind, posting, actions }: { kind: Kind; posting: Posting } & Pick<ViewProps, "actions">) {
  const { send, save } = actions.measuring;
  return (
    <div class="outcome">
      {posting === "sending" && <p id={`${kind}-posted`}>Sending the result…</p>}
      {posting === "sent" && <p id={`${kind}-posted`}>The result was sent to the computer that runs edgedraft.</p>}
      {typeof posting === "object" && (
        <Trouble id={`${kind}-post-problem`} problem={posting}>
          <button type="button" class="button" id={`${kind}-resend`} onClick={() => send(kind)}>
            Send again
          </button>
        </Trouble>
      )}
      <button type="button" class="button" id={`${kind}-save`} onClick={() => save(kind)}>
        Save as file
      </button>
    </div>
  );
}
