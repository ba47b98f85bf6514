/** Owns the format of dates. */

/** Return the day of `when` in the user's time zone, as YYYY-MM-DD. */
export function isoDate(when: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
}
