/** Owns the Probe tab: it measures the time of passes over several rows on this device. */

import type { Provider } from "../../runtime/index.js";
import { busyWith } from "../state.js";
import { costRows, PROVIDER_NAMES, type CostRow } from "../words/costs.js";
import { bytes, duration, passTime, plural } from "../words/format.js";
import { Outcome, WorkProgress } from "./outcome.js";
import { Check, Note, Trouble } from "./parts.js";
import type { PanelProps } from "./props.js";

export function ProbePanel(props: PanelProps) {
  const { state, actions, site } = props;
  const { work } = state.probe;
  const cases = site.session.probe.cases;
  if (cases.length === 0) {
    return (
      <p class="empty" id="probe-missing">
        There is nothing to probe with: this page was not opened by <code>edgedraft phone</code>, which brings the graphs to time.
      </p>
    );
  }
  return (
    <>
      <h2>What do verify passes cost here?</h2>
      <p class="lead">
        Times small graphs ({bytes(cases.reduce((sum, each) => sum + each.bytes, 0))}) with one row and with several, so that a plan can be made for this device. The
        models need not be loaded.
      </p>
      {work.stage === "failed" && <Trouble id="probe-problem" problem={work.problem} />}
      {work.stage === "idle" && work.stopped && <p>Stopped before it was done; nothing was kept.</p>}
      {work.stage === "done" && <Result {...props} />}
      <WorkProgress kind="probe" label="Probing" work={work} stop={actions.measuring.stopMeasuring} />
      {work.stage !== "running" && <Begin {...props} />}
    </>
  );
}

function Begin({ state, actions, site }: PanelProps) {
  const { probe, loading } = state;
  const { setProbe, runProbe } = actions.measuring;
  const toggle = (provider: Provider) => (on: boolean) =>
    setProbe({ providers: on ? [...probe.providers, provider] : probe.providers.filter((each) => each !== provider) });
  const again = probe.work.stage === "done";
  return (
    <div class="begin">
      <div class="field">
        <label for="device-name">Name of this device</label>
        <input id="device-name" type="text" value={probe.name} maxLength={80} autocomplete="off" onInput={(event) => setProbe({ name: event.currentTarget.value })} />
      </div>
      <fieldset class="checks">
        <legend>Probe on</legend>
        {(["webgpu", "wasm"] as const).map((provider) => (
          <Check
            key={provider}
            id={`probe-${provider}`}
            label={provider === "webgpu" && !site.capabilities.webgpu ? "WebGPU (not here)" : PROVIDER_NAMES[provider]}
            checked={probe.providers.includes(provider)}
            disabled={provider === "webgpu" && !site.capabilities.webgpu}
            set={toggle(provider)}
          />
        ))}
      </fieldset>
      {loading.stage === "loaded" && <p class="hint">The loaded models keep their memory meanwhile. On a small phone unload them first, on the Start tab.</p>}
      <button
        type="button"
        class={again ? "button" : "button button-main"}
        id="probe-start"
        disabled={busyWith(state) !== null || probe.providers.length === 0}
        onClick={runProbe}
      >
        {again ? "Probe again" : "Probe"}
      </button>
    </div>
  );
}

function Result({ state, actions }: PanelProps) {
  const { work, name } = state.probe;
  if (work.stage !== "done") return null;
  const { report, posting } = work;
  const rows = costRows(report);
  const provider = report.steps[0]?.provider ?? "webgpu";
  return (
    <>
      <table class="table costs" id="probe-table">
        <caption>
          v(m): a pass over m rows, in units of a pass over one. Medians; probed for {duration(report.seconds)}.
        </caption>
        <thead>
          <tr>
            {(rows[0]?.rows ?? []).map((count) => (
              <th key={count} scope="col">
                <span class="visually-hidden">rows </span>
                {count}
              </th>
            ))}
          </tr>
        </thead>
        {rows.map((row) => (
          <Costs key={row.label} row={row} />
        ))}
      </table>
      {report.skipped.length > 0 && (
        <Note title={`${plural(report.skipped.length, "case")} could not run`}>
          <ul id="probe-skipped">
            {report.skipped.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </Note>
      )}
      <Outcome kind="probe" posting={posting} actions={actions} />
      <p id="probe-next">
        Next, on the computer, with the file that <code>edgedraft phone</code> names{name.trim() === "" ? "" : ` for ${name.trim()}`}:{" "}
        <code>edgedraft plan --device FILE --provider {provider}</code>
      </p>
    </>
  );
}

function Costs({ row }: { row: CostRow }) {
  return (
    <tbody>
      <tr>
        <th scope="rowgroup" colSpan={row.rows.length}>
          {row.label} · one row takes {passTime(row.oneRowSeconds)}
        </th>
      </tr>
      <tr>
        {row.costs.map((cost, index) => (
          <td key={index}>{cost === null ? "–" : cost.toFixed(cost >= 9.95 ? 0 : 2)}</td>
        ))}
      </tr>
    </tbody>
  );
}
