/** Owns the one queue that all work of the page's WebAssembly module goes through: it cannot be entered twice. */

let last: Promise<unknown> = Promise.resolve();

/** Run `task` when all earlier ones are done; in between the page may paint and take input. */
export function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const turn = last.then(breathe).then(task);
  last = turn.catch(() => undefined);
  return turn;
}

/** Let the browser do what waits: a pass on WebAssembly blocks it. */
export function breathe(): Promise<void> {
  const scheduler = (globalThis as { scheduler?: { yield?: () => Promise<void> } }).scheduler;
  if (scheduler?.yield !== undefined) return scheduler.yield();
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
