/** Owns the one form of a conversation: checked messages with plain texts, given to a template in the form that it shows. */

import { EdgedraftError, demand } from "./errors.js";

/** One message of a conversation. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** A message as a template gets it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string | readonly { readonly type: "text"; readonly text: string }[];
}

/** Renders messages as they are; throws where the template refuses them. */
export type Render = (messages: readonly TemplateMessage[]) => string;

/** The form that a template needs: roles that it shows only as a list of parts, and names for roles that it does not know. */
export interface TemplateForm {
  readonly rolesInParts: ReadonlySet<string>;
  readonly aliases: Readonly<Record<string, string>>;
}

const WORD = "Sentinel5edgedraft5Text";
const MARK = "sentinel6edgedraft6text";
const ALIASES: Readonly<Record<string, string>> = { developer: "system", function: "tool" };
const ROLES = ["user", "system", "assistant", "tool"];
const TEXT_PARTS: readonly unknown[] = [undefined, "text", "input_text", "output_text"];
const SHOWN = 60;

/**
 * Return the messages with every content a text; parts become their texts, one a line. Programs without types may hand
 * over anything: what is no text is refused, with its place.
 */
export function checkedMessages(messages: unknown): { role: string; content: string }[] {
  const isList = Array.isArray(messages) && messages.length > 0;
  if (!isList) throw new EdgedraftError("messages: expected a list of messages", { got: shown(messages) });
  return messages.map((message: unknown, place: number) => {
    const where = `messages[${place}]`;
    const isObject = typeof message === "object" && message !== null && !Array.isArray(message);
    if (!isObject) throw new EdgedraftError(`${where}: expected an object`, { got: shown(message) });
    const { role, content } = message as { role?: unknown; content?: unknown };
    if (typeof role !== "string" || role.trim() === "") throw new EdgedraftError(`${where}: role: expected a name`, { got: shown(role) });
    if (role === "assistant" && (content === null || content === undefined)) return { role, content: "" };
    return { role, content: contentText(content, `${where}: content`) };
  });
}

/** Return the form that the template `source` needs, by what `render` shows of a few conversations. */
export function templateForm(source: string, render: Render): TemplateForm {
  const rolesInParts = new Set<string>();
  const user = { role: "user", content: WORD.toLowerCase() };
  for (const role of ROLES) {
    const around = role === "user" ? [] : fitted([user], { rolesInParts, aliases: {} });
    const placed = (content: TemplateMessage["content"]): TemplateMessage[] =>
      role === "system" ? [{ role, content }, ...around] : [...around, { role, content }];
    const lost = !(tried(render, placed(WORD)) ?? "").includes(WORD);
    if (lost && (tried(render, placed([{ type: "text", text: WORD }])) ?? "").includes(WORD)) rolesInParts.add(role);
  }
  const unknown = Object.entries(ALIASES).filter(([role]) => !names(source, role));
  return { rolesInParts, aliases: Object.fromEntries(unknown) };
}

/** Return checked messages in the form that a template needs. */
export function fitted(messages: readonly { role: string; content: string }[], form: TemplateForm): TemplateMessage[] {
  return messages.map((message) => {
    const role = form.aliases[message.role] ?? message.role;
    const inParts = form.rolesInParts.has(ROLES.includes(role) ? role : "user");
    return { role, content: inParts ? [{ type: "text", text: message.content }] : message.content };
  });
}

/** Refuse a conversation of which `render` leaves out a message; what an assistant said may be left out on purpose. */
export function requireShown(messages: readonly { role: string; content: string }[], render: (marked: typeof messages) => string): void {
  const marks = new Map<string, string>();
  const marked = messages.map((message) => {
    if (message.role === "assistant" || message.content.trim() === "") return message;
    const mark = `${MARK}${marks.size}end`;
    marks.set(mark, message.role);
    return { role: message.role, content: mark };
  });
  const rendered = tried(render, marked)?.toLowerCase();
  if (rendered === undefined) return; // the template wants other words: nothing can be said
  const hidden = [...marks].filter(([mark]) => !rendered.includes(mark)).map(([, role]) => role);
  const counts = [...new Set(hidden)].sort().map((role) => `${hidden.filter((each) => each === role).length} of ${role}`);
  const remedy = "leave them out, or choose a model whose template knows them";
  demand(hidden.length === 0, "the chat template must show every message", { got: `hidden: ${counts.join(", ")}`, remedy });
}

function contentText(value: unknown, where: string): string {
  if (Array.isArray(value)) return value.map((part, place) => partText(part, `${where}[${place}]`)).join("\n");
  if (typeof value !== "string") throw new EdgedraftError(`${where}: expected a text or a list of text parts`, { got: shown(value) });
  return value;
}

function partText(part: unknown, where: string): string {
  if (typeof part === "string") return part;
  const { type, text } = (typeof part === "object" && part !== null ? part : {}) as { type?: unknown; text?: unknown };
  if (typeof text === "string" && TEXT_PARTS.includes(type)) return text;
  throw new EdgedraftError(`${where}: expected a text part`, { got: shown(part) });
}

function tried<Messages>(render: (messages: Messages) => string, messages: Messages): string | undefined {
  try {
    return render(messages);
  } catch {
    return undefined;
  }
}

/** Return whether the template compares anything with this role's name. */
function names(source: string, role: string): boolean {
  return new RegExp(`(==|!=|\\bin\\b)\\s*[\\[(]?[^\\])%}]*['"]${role}['"]`).test(source);
}

function shown(value: unknown): string {
  const line = JSON.stringify(value) ?? "undefined";
  return line.length <= SHOWN ? line : `${line.slice(0, SHOWN)}…`;
}
