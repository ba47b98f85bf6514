/** Owns posting results to the server. */

import type { BenchReport } from "./benching.js";
import type { Provider } from "./capabilities.js";
import type { DeviceReport } from "./device.js";
import { EdgedraftError, firstLine } from "./errors.js";
import type { ProbeReport } from "./probe.js";

/** A bench with the device it ran on, and the provider of each model; drafters share one. */
export interface BenchResult {
  readonly device: DeviceReport;
  readonly onnxruntime: string;
  readonly date: string;
  readonly provider: { readonly target: Provider; readonly drafter: Provider };
  readonly report: BenchReport;
}

/** Post a result to the server at `base`; throws `EdgedraftError` with the reason when it is not taken. */
export async function postResult(base: URL, kind: "probe" | "bench", result: ProbeReport | BenchResult): Promise<void> {
  const remedy = "check that edgedraft phone still runs, then send again";
  let response: Response;
  try {
    response = await fetch(new URL(`results/${kind}`, base), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(result),
    });
  } catch (error) {
    throw new EdgedraftError("the results did not reach the server", { got: firstLine(error), remedy });
  }
  if (response.ok) return;
  const said = (await response.text().catch(() => "")).split("\n", 1)[0];
  throw new EdgedraftError("the server did not take the results", { got: said || response.status, remedy });
}
