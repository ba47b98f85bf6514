/** Owns the format of numbers: bytes, shares, rates, times; digits are grouped in the English way, like the page's words. */

const UNITS = ["B", "kB", "MB", "GB"] as const;
const NONE = "–";

/** Format bytes in decimal units, with three digits at most: `0 B`, `12.3 MB`, `1.36 GB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Format bytes in powers of two, as limits of GPUs are set: `128 MiB`, `4 GiB`. */
export function binaryBytes(count: number): string {
  const large = count >= 2 ** 30;
  const value = count / (large ? 2 ** 30 : 2 ** 20);
  return `${trimmed(value.toFixed(large ? 1 : 0))} ${large ? "GiB" : "MiB"}`;
}

/** Return `done` of `total` in whole percent, rounded down so that 100 means all of it. */
export function percent(done: number, total: number): number {
  return total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : 0;
}

/** Format a share in 0..1 as percent with one decimal, or a dash for null. */
export function share(value: number | null): string {
  return value === null ? NONE : `${(100 * value).toFixed(1)} %`;
}

/** Format tokens per second with three digits. */
export function rate(value: number | null): string {
  return value === null ? NONE : value.toFixed(value >= 99.95 ? 0 : value >= 0.995 ? 1 : 2);
}

/** Format a number with two decimals, or a dash for null. */
export function twoDigits(value: number | null): string {
  return value === null ? NONE : value.toFixed(2);
}

/** Format a ratio: `1.23×`. */
export function times(value: number): string {
  return `${value.toFixed(2)}×`;
}

/** Format a whole number with its thousands apart: `151,936`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Count a noun: `1 token`, `2 tokens`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Format a time to wait: `8 s`, `2 min 5 s`, `1 h 4 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Format the time of one pass: `0.84 ms`, `12.3 ms`, `1.20 s`. */
export function passTime(seconds: number): string {
  const milliseconds = 1000 * seconds;
  if (milliseconds >= 999.5) return `${seconds.toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds >= 9.995 ? 1 : 2)} ms`;
}

/** Estimate the seconds left at the speed so far; null before anything is done. */
export function secondsLeft(done: number, total: number, elapsedSeconds: number): number | null {
  return done > 0 && done <= total ? (elapsedSeconds * (total - done)) / done : null;
}

function trimmed(text: string): string {
  return text.replace(/\.0$/, "");
}
