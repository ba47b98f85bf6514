/** Owns the list of downloads by their purpose, and how much of each is stored already. */

import type { FullDrafter, Manifest } from "../../runtime/index.js";
import type { Site, WantedFile } from "../ports.js";
import { bytes, count, percent } from "./format.js";

/** Bytes of files, and how many of those an earlier visit stored on this device. */
export interface Amount {
  readonly bytes: number;
  readonly keptBytes: number;
}

/** One part of the download. */
export interface Part extends Amount {
  readonly label: string;
  readonly detail: string;
}

/** Group the `wanted` files into parts, and leave out empty ones. */
export function parts(site: Pick<Site, "manifest" | "session">, wanted: readonly WantedFile[]): readonly Part[] {
  const roles = rolesOf(site.manifest, site.session.full_drafter);
  const known = new Set(roles.flatMap((role) => role.paths));
  const rest = wanted.map((file) => file.path).filter((path) => !known.has(path));
  return [...roles, { label: "Tokenizer", detail: "with chat template and token map", paths: rest }]
    .map(({ label, detail, paths }) => ({ label, detail, ...amount(wanted.filter((file) => paths.includes(file.path))) }))
    .filter((part) => part.bytes > 0);
}

interface Role {
  readonly label: string;
  readonly detail: string;
  readonly paths: readonly string[];
}

function rolesOf({ target, drafter, plan }: Manifest, full: FullDrafter | null): readonly Role[] {
  const roles: Role[] = [
    { label: "Target", detail: `${target.name}, ${target.precision}`, paths: [target.graph, ...target.data] },
    {
      label: "Drafter",
      detail: `${drafter.name}, ${drafter.precision}, ${count(plan.draft_vocab_size)} draft tokens`,
      paths: [drafter.graph, ...drafter.data],
    },
  ];
  if (full !== null) roles.push({ label: "Full drafter", detail: "all tokens, to compare with", paths: [full.graph, ...full.data] });
  return roles;
}

/** Say how much of a part is stored on this device. */
export function keptWords({ bytes: all, keptBytes }: Amount): string {
  if (keptBytes === 0) return "";
  return keptBytes >= all ? "kept on this device" : `${percent(keptBytes, all)} % kept on this device`;
}

/** Return the label of the button that starts loading. */
export function loadLabel(wanted: readonly WantedFile[]): string {
  const { bytes: all, keptBytes } = amount(wanted);
  if (keptBytes >= all) return "Load";
  return keptBytes === 0 ? `Load ${bytes(all)}` : `Load the other ${bytes(all - keptBytes)}`;
}

/** Sum the amounts of all files. */
export function amount(files: readonly WantedFile[]): Amount {
  return {
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    keptBytes: files.reduce((sum, file) => sum + Math.min(file.keptBytes, file.bytes), 0),
  };
}

/** Return whether the browser lets the page store the rest of the download; true where it does not say. */
export function canKeep(wanted: readonly WantedFile[], freeBytes: number | null): boolean {
  const { bytes: all, keptBytes } = amount(wanted);
  return freeBytes === null || all - keptBytes <= freeBytes;
}
