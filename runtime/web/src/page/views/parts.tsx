/** Owns the small views that all panels use: choices, progress, problems. */

import type { ComponentChildren } from "preact";
import type { Problem } from "../state.js";

export interface Option<Value> {
  readonly value: Value;
  readonly label: string;
  readonly disabled?: boolean;
}

interface ChoiceProps<Value> {
  readonly id: string;
  readonly label: string;
  readonly value: Value;
  readonly options: readonly Option<Value>[];
  readonly disabled?: boolean;
  choose(value: Value): void;
}

/** Offers a few options side by side. */
export function Segments<Value extends string>({ id, label, value, options, disabled = false, choose }: ChoiceProps<Value>) {
  return (
    <fieldset class="segments" disabled={disabled}>
      <legend>{label}</legend>
      <div class="segments-row">
        {options.map((option) => (
          <label key={option.value} class="segment">
            <input
              type="radio"
              name={id}
              id={`${id}-${option.value}`}
              checked={option.value === value}
              disabled={option.disabled ?? false}
              onChange={() => choose(option.value)}
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** Offers several options in a menu. */
export function Select<Value extends string | number>({ id, label, value, options, disabled = false, choose }: ChoiceProps<Value>) {
  const pick = (event: Event) => {
    const chosen = options[(event.currentTarget as HTMLSelectElement).selectedIndex];
    if (chosen !== undefined) choose(chosen.value);
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} disabled={disabled} onChange={pick}>
        {options.map((option) => (
          <option key={option.value} value={option.value} selected={option.value === value} disabled={option.disabled ?? false}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}

/** A checkbox. */
export function Check(props: { id: string; label: string; checked: boolean; disabled?: boolean; set(checked: boolean): void }) {
  const { id, label, checked, disabled = false, set } = props;
  return (
    <label class="check" for={id}>
      <input id={id} type="checkbox" checked={checked} disabled={disabled} onChange={(event) => set(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** Shows progress; `children` say it in words. A total of 0 means that it is not known yet. */
export function ProgressBar(props: { id: string; label: string; done: number; total: number; children: ComponentChildren }) {
  const { id, label, done, total, children } = props;
  const known = total > 0 ? { value: done, max: total } : {};
  return (
    <div class="progress">
      <progress id={id} aria-label={label} {...known} />
      <p class="progress-words">{children}</p>
    </div>
  );
}

/** Shows an error: the rule, the value that broke it, and the remedy. */
export function Trouble({ id, problem, children }: { id: string; problem: Problem; children?: ComponentChildren }) {
  return (
    <div class="notice notice-problem" role="alert" id={id}>
      <p class="notice-title">{problem.rule}</p>
      {problem.got !== undefined && <p>Found: {problem.got}</p>}
      {problem.remedy !== undefined && <p>What to do: {withCode(problem.remedy)}</p>}
      {children}
    </div>
  );
}

/** Shows a note that is no error. */
export function Note({ title, children, serious = false }: { title: string; children: ComponentChildren; serious?: boolean }) {
  return (
    <div class={serious ? "notice notice-problem" : "notice"}>
      <p class="notice-title">{title}</p>
      {children}
    </div>
  );
}

/** Shows, in place of a panel, that the models must be loaded first. */
export function NotLoaded({ what, goToStart }: { what: string; goToStart(): void }) {
  return (
    <div class="empty">
      <p>{what}</p>
      <button type="button" class="button" onClick={goToStart}>
        Go to Start
      </button>
    </div>
  );
}

/** Set text between backticks as code. */
export function withCode(text: string): ComponentChildren {
  return text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}
