/** Owns the Start tab: the downloads, this device, whether they fit, the choices, and loading. */

import { TIMING_PASSES, type Provider } from "../../runtime/index.js";
import type { Site } from "../ports.js";
import { busyWith, type State } from "../state.js";
import { contextLengths, threadCounts } from "../words/choice.js";
import { PROVIDER_NAMES } from "../words/costs.js";
import { deviceFacts } from "../words/device.js";
import { amount, canKeep, keptWords, loadLabel, parts } from "../words/downloads.js";
import { fit, placedModels } from "../words/fits.js";
import { bytes, count, percent } from "../words/format.js";
import { hereSentence } from "../words/here.js";
import { lacks } from "../words/missing.js";
import { planSentence } from "../words/verdict.js";
import { Check, Note, ProgressBar, Segments, Select, Trouble, withCode } from "./parts.js";
import type { PanelProps } from "./props.js";

/** The runtime's name for the part of loading that counts bytes. */
const LOADING_FILES = "loading files";

export function StartPanel(props: PanelProps) {
  const { state, site } = props;
  return (
    <>
      <p class="lead" id="here">
        {hereSentence(state)}
      </p>
      <p id="plan">{planSentence(site.manifest.plan)}</p>
      <Lacks {...props} />
      <div class="cards">
        <Download {...props} />
        <Device site={site} />
      </div>
      {state.loading.stage === "loaded" ? <Loaded {...props} /> : <Choices {...props} />}
      <LoadingState {...props} />
    </>
  );
}

function Lacks({ state, site }: PanelProps) {
  const missing = lacks(site.capabilities, canKeep(state.wanted, site.freeBytes));
  return (
    <>
      {missing.map(({ what, words, remedy, serious }) => (
        <Note key={what} title={what} serious={serious}>
          <p>{words}</p>
          <p>{withCode(remedy)}</p>
        </Note>
      ))}
    </>
  );
}

function Download({ state, actions, site }: PanelProps) {
  const { wanted } = state;
  return (
    <section class="card" aria-labelledby="download-title">
      <h2 id="download-title">To download</h2>
      <ul class="parts" id="downloads">
        {parts(site, wanted).map((part) => (
          <li key={part.label}>
            <span class="part-label">{part.label}</span>
            <span class="part-bytes">{bytes(part.bytes)}</span>
            <span class="part-detail">{part.detail}</span>
            <span class="part-state">{keptWords(part)}</span>
          </li>
        ))}
      </ul>
      <p class="total">
        <span>Together</span> <span id="download-total">{bytes(amount(wanted).bytes)}</span>
      </p>
      <p class="hint">All of it comes from the computer that serves this page, and nothing leaves your network.</p>
      {amount(wanted).keptBytes > 0 && state.loading.stage !== "loaded" && (
        <button type="button" class="button" id="forget" disabled={busyWith(state) !== null} onClick={actions.loading.forget}>
          Remove the kept files
        </button>
      )}
    </section>
  );
}

function Device({ site }: { site: Site }) {
  const { capabilities, freeBytes } = site;
  return (
    <section class="card" aria-labelledby="device-title">
      <h2 id="device-title">This device</h2>
      <dl class="facts" id="device-facts">
        {deviceFacts(capabilities, freeBytes, threadCounts(capabilities).length).map(({ term, value }) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Choices({ state, actions, site }: PanelProps) {
  const { choice, loading } = state;
  const { capabilities, manifest, session } = site;
  const disabled = loading.stage === "running";
  const { choose } = actions.opening;
  const providers = (["webgpu", "wasm"] as const).map((value: Provider) => ({
    value,
    label: PROVIDER_NAMES[value],
    disabled: value === "webgpu" && !capabilities.webgpu,
  }));
  const full = session.full_drafter;
  return (
    <section class="card" aria-labelledby="choice-title">
      <h2 id="choice-title">Where to run it</h2>
      <div class="fields">
        <Segments id="provider-target" label="Target" value={choice.target} options={providers} disabled={disabled} choose={(target) => choose({ target })} />
        <Segments id="provider-drafter" label="Drafter" value={choice.drafter} options={providers} disabled={disabled} choose={(drafter) => choose({ drafter })} />
        <Select
          id="threads"
          label="WebAssembly threads"
          value={choice.threads}
          options={threadCounts(capabilities).map(option)}
          disabled={disabled || (choice.target === "webgpu" && choice.drafter === "webgpu")}
          choose={(threads) => choose({ threads })}
        />
        <Select
          id="context-length"
          label="Longest conversation"
          value={choice.contextLength}
          options={contextLengths(manifest).map((value) => ({ value, label: `${count(value)} tokens` }))}
          disabled={disabled}
          choose={(contextLength) => choose({ contextLength })}
        />
      </div>
      {full !== null && (
        <Check
          id="with-full"
          label="Also load the drafter with its full vocabulary, to compare with"
          checked={choice.withFull}
          disabled={disabled}
          set={(withFull) => choose({ withFull })}
        />
      )}
    </section>
  );
}

function option(value: number) {
  return { value, label: String(value) };
}

function LoadingState(props: PanelProps) {
  const { state, actions } = props;
  if (state.loading.stage === "loaded") return null;
  return (
    <div class="dock">
      {state.loading.stage === "running" ? <Running state={state} cancel={actions.loading.cancelLoading} /> : <Begin {...props} />}
    </div>
  );
}

function Begin({ state, actions, site }: PanelProps) {
  const { loading, choice, wanted } = state;
  const { problem, headline, sentence } = fit(placedModels(site.manifest, site.session, choice), site.capabilities);
  if (problem !== null) return <Trouble id="fit-problem" problem={problem} />;
  const retry = loading.stage === "failed";
  const resumed = loading.stage === "idle" && loading.stopped;
  return (
    <>
      {retry && <Trouble id="load-problem" problem={loading.problem} />}
      {resumed && <p id="load-resumes">Stopped. What has come already is kept; loading goes on from there.</p>}
      {!retry && !resumed && (
        <p id="fit">
          <span class="fits">{headline}</span> {sentence}
        </p>
      )}
      <button type="button" class="button button-main" id={retry ? "load-retry" : "load"} disabled={busyWith(state) !== null} onClick={actions.loading.load}>
        {retry ? "Try again" : loadLabel(wanted)}
      </button>
    </>
  );
}

function Running({ state, cancel }: { state: State; cancel(): void }) {
  const { loading } = state;
  if (loading.stage !== "running") return null;
  const { what, done, total } = loading;
  const files = what === LOADING_FILES && done < total;
  const timing = what === TIMING_PASSES;
  return (
    <>
      <ProgressBar id="load-progress" label="Loading" done={done} total={files || timing ? total : 0}>
        {timing ? `Choosing how to draft on this device: ${percent(done, total)} %` : files ? `${bytes(done)} of ${bytes(total)}, ${percent(done, total)} %` : "Starting the models…"}
      </ProgressBar>
      <button type="button" class="button" id="load-cancel" onClick={cancel}>
        {timing ? "Skip" : "Cancel"}
      </button>
    </>
  );
}

function Loaded({ state, actions }: PanelProps) {
  return (
    <section class="card loaded" aria-labelledby="loaded-title">
      <h2 id="loaded-title">The models are ready</h2>
      <p>Unload them to free their memory or to choose anew. The files stay on this device.</p>
      <div class="row">
        <button type="button" class="button button-main" id="go-chat" onClick={() => actions.opening.showTab("chat")}>
          Chat
        </button>
        <button type="button" class="button" id="unload" disabled={busyWith(state) !== null} onClick={actions.loading.unload}>
          Unload
        </button>
      </div>
    </section>
  );
}
