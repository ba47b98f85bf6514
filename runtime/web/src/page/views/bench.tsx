/** Owns the Bench tab: it compares ways of decoding on this device, and gives a verdict. */

import type { BenchResult } from "../../runtime/index.js";
import { benchPrompts } from "../actions/measuring.js";
import { busyWith } from "../state.js";
import { plural } from "../words/format.js";
import { benchRows, benchVerdict, placeSentence, textsSentence, WAY_NAMES, waysOf } from "../words/verdict.js";
import { Outcome, WorkProgress } from "./outcome.js";
import { NotLoaded, Select, Trouble } from "./parts.js";
import type { PanelProps } from "./props.js";

const LENGTHS = [16, 32, 64, 128, 256] as const;

export function BenchPanel({ state, actions, site }: PanelProps) {
  const { bench, loading } = state;
  const { work } = bench;
  if (loading.stage !== "loaded" && work.stage !== "done") {
    return <NotLoaded what="Load the models first, then measure here whether drafting pays." goToStart={() => actions.opening.showTab("start")} />;
  }
  const prompts = benchPrompts(site).length;
  const ways = loading.stage === "loaded" && loading.hasFull ? "the target alone, the full drafter and the trimmed one" : "the target alone and the trimmed drafter";
  return (
    <>
      <h2>Does drafting pay here?</h2>
      <p class="lead">
        Runs {ways} in turns on {plural(prompts, "prompt")}, and compares them prompt by prompt.
      </p>
      {work.stage === "failed" && <Trouble id="bench-problem" problem={work.problem} />}
      {work.stage === "idle" && work.stopped && <p>Stopped before it was done; nothing was kept.</p>}
      {work.stage === "done" && (
        <>
          <Result result={work.report} />
          <Outcome kind="bench" posting={work.posting} actions={actions} />
        </>
      )}
      <WorkProgress kind="bench" label="Measuring" work={work} stop={actions.measuring.stopMeasuring} />
      {work.stage !== "running" && (
        <div class="begin">
          <Select
            id="bench-tokens"
            label="Tokens a prompt"
            value={bench.maxNewTokens}
            options={LENGTHS.map((value) => ({ value: value as number, label: plural(value, "token") }))}
            choose={(maxNewTokens) => actions.measuring.setBench({ maxNewTokens })}
          />
          <button
            type="button"
            class={work.stage === "done" ? "button" : "button button-main"}
            id="bench-start"
            disabled={busyWith(state) !== null || loading.stage !== "loaded"}
            onClick={actions.measuring.runBench}
          >
            {work.stage === "done" ? "Measure again" : "Measure"}
          </button>
        </div>
      )}
    </>
  );
}

function Result({ result }: { result: BenchResult }) {
  const { report } = result;
  const verdict = benchVerdict(report);
  return (
    <>
      {verdict !== null && (
        <p class={`verdict verdict-${verdict.answer}`} id="bench-verdict">
          {verdict.sentence}
        </p>
      )}
      <table class="table" id="bench-table">
        <caption>
          Medians of {plural(report.prompts, "prompt")}, up to {plural(report.max_new_tokens, "token")} each; below them the quartiles.
        </caption>
        <thead>
          <tr>
            <td />
            {waysOf(report).map(([way]) => (
              <th key={way} scope="col">
                {WAY_NAMES[way]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {benchRows(report).map(({ label, cells }) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              {cells.map(({ value, range }, index) => (
                <td key={index}>
                  {value}
                  {range !== undefined && <span class="range">{range}</span>}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="hint" id="bench-place">
        {placeSentence(result)}
      </p>
      <p class="hint" id="bench-texts">
        {textsSentence(report)}
      </p>
    </>
  );
}
