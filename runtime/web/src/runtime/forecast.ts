/** Owns `AcceptanceForecast`: the rounds that held-out answers take, from which a device predicts its own speed. */

import { demand } from "./errors.js";
import { asInteger, asNumber, listOf, optional, recordOf, type Reader } from "./records.js";

/** Rounds of the held-out answers with `draft_length` drafts each; in `full_rounds` all of them were accepted. */
export interface LengthForecast {
  readonly draft_length: number;
  readonly rounds: number;
  readonly full_rounds: number;
  readonly accepted: number;
  readonly evaluated: number;
}

/** Rounds with drafts that are looked up in the text; `rounds[i]` counts those in which i tokens were found. */
export interface LookupForecast {
  readonly draft_length: number;
  readonly rounds: readonly number[];
  readonly accepted: number;
  readonly evaluated: number;
}

/** What held-out answers of `tokens` tokens say about ways of drafting. */
export interface AcceptanceForecast {
  readonly tokens: number;
  readonly lengths: readonly LengthForecast[];
  readonly lookups: readonly LookupForecast[];
}

const MOST_WAYS = 64;

const readLength = recordOf<LengthForecast>({ draft_length: asInteger, rounds: asNumber, full_rounds: asNumber, accepted: asNumber, evaluated: asNumber });

const readLookup = recordOf<LookupForecast>({ draft_length: asInteger, rounds: listOf(asInteger), accepted: asInteger, evaluated: asInteger });

const fields = recordOf<AcceptanceForecast>({ tokens: asInteger, lengths: listOf(readLength), lookups: optional(listOf(readLookup), []) });

/** Read and check a forecast. */
export const readForecast: Reader<AcceptanceForecast> = (value, where) => {
  const forecast = fields(value, where);
  const ways = forecast.lengths.length + forecast.lookups.length;
  demand(forecast.tokens > 0, "forecast: expected 1 token or more", { got: forecast.tokens });
  demand(forecast.lengths.length >= 1 && ways <= MOST_WAYS, `forecast: expected 1..${MOST_WAYS} ways`, { got: ways });
  for (const each of forecast.lengths) {
    const sound = each.draft_length >= 1 && each.rounds > 0 && each.full_rounds >= 0 && each.full_rounds <= each.rounds;
    demand(sound, "forecast: expected rounds above 0, full ones among them", { got: each.rounds });
  }
  return forecast;
};
