/** Owns `SessionInfo`: the offer of the server of this page, as written in its session.json. */

import { EdgedraftError, firstLine } from "./errors.js";
import { readFileEntry, type FileEntry } from "./manifest.js";
import { asBoolean, asInteger, asString, listOf, mapOf, optional, orNull, recordOf } from "./records.js";

/** The full-vocabulary drafter; paths are relative to the server's base. */
export interface FullDrafter {
  readonly graph: string;
  readonly data: readonly string[];
  readonly largest_tensor_bytes: number;
  readonly half: boolean;
  readonly operators: readonly string[];
  readonly files: Readonly<Record<string, FileEntry>>;
}

/** One graph to time; a case of no layers computes almost nothing and shows the fixed cost of a pass. */
export interface ProbeCase {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly precision: string;
  readonly width: number;
  readonly layers: number;
  readonly weight_bytes: number;
  readonly half: boolean;
}

/** The cases to time, each at every number of rows, `rounds` times. */
export interface ProbePlan {
  readonly cases: readonly ProbeCase[];
  readonly rows: readonly number[];
  readonly rounds: number;
}

/** The offer of one run of `edgedraft phone`. */
export interface SessionInfo {
  readonly bundle: string;
  readonly full_drafter: FullDrafter | null;
  readonly probe: ProbePlan;
  readonly prompts: readonly string[];
  readonly post_results: boolean;
}

const parse = recordOf<SessionInfo>({
  bundle: asString,
  full_drafter: orNull(
    recordOf<FullDrafter>({
      graph: asString,
      data: listOf(asString),
      largest_tensor_bytes: asInteger,
      half: asBoolean,
      operators: optional(listOf(asString), []),
      files: mapOf(readFileEntry),
    }),
  ),
  probe: recordOf<ProbePlan>({
    cases: listOf(
      recordOf<ProbeCase>({
        file: asString,
        bytes: asInteger,
        sha256: asString,
        precision: asString,
        width: asInteger,
        layers: asInteger,
        weight_bytes: asInteger,
        half: asBoolean,
      }),
    ),
    rows: listOf(asInteger),
    rounds: asInteger,
  }),
  prompts: listOf(asString),
  post_results: asBoolean,
});

/** Check a session in parsed JSON; throws `EdgedraftError` naming the key that is wrong. */
export function parseSession(value: unknown): SessionInfo {
  return parse(value, "session");
}

/** Read the session of the server at `base` (ending in a slash). */
export async function readSession(base: URL): Promise<SessionInfo> {
  return parseSession(await fetchJson(new URL("session.json", base)));
}

/** Fetch JSON from `url`, never from a cache. */
export async function fetchJson(url: URL): Promise<unknown> {
  const remedy = "start edgedraft phone again and open the address that it prints";
  const name = url.pathname.split("/").pop() ?? "";
  let response: Response;
  try {
    response = await fetch(url, { cache: "no-store" });
  } catch (error) {
    throw new EdgedraftError(`${name}: the server cannot be reached`, { got: firstLine(error), remedy });
  }
  if (!response.ok) throw new EdgedraftError(`${name}: the server refused it`, { got: response.status, remedy });
  try {
    return await response.json();
  } catch (error) {
    throw new EdgedraftError(`${name}: not JSON`, { got: firstLine(error), remedy });
  }
}
