/** Owns how days are written. */

/** The day of `when` where the user is, as YYYY-MM-DD. */
export function isoDate(when: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
}
