/** Owns the one queue of all calls into the page's WebAssembly module, which cannot run two at once. */

let last: Promise<unknown> = Promise.resolve();

/** Run `task` after all earlier tasks; in between the page may paint and take input. */
export function enqueue<T>(task: () => Promise<T>): Promise<T> {
  const result = last.then(yieldToEventLoop).then(task);
  last = result.catch(() => undefined); // one task's failure must not fail the next
  return result;
}

/** Let the browser handle waiting events: a pass on WebAssembly blocks it. */
export function yieldToEventLoop(): Promise<void> {
  const scheduler = (globalThis as { scheduler?: { yield?: () => Promise<void> } }).scheduler;
  if (scheduler?.yield !== undefined) return scheduler.yield();
  // A message arrives without the delay of 4 ms that browsers add to nested timers.
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
