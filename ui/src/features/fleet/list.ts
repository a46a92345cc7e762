/** Filtering, grouping, ordering and windowing of the fleet: pure functions, so that 1,000 rows can be reasoned about. */
import type { FleetRow, HealthWord } from "../../backend/gen/types";
import { HEALTH_ORDER } from "../../shared/tones";

export type GroupBy = "environment" | "state" | "none";
export type SortBy = "state" | "name" | "p95" | "errors" | "quality" | "version";

/** What is shown of the fleet. */
export interface View {
  text: string;
  environment: string;
  protocol: string;
  health: HealthWord | "";
  group: GroupBy;
  sort: SortBy;
  descending: boolean;
}

/** One line of the list. */
export type Line =
  | { kind: "group"; key: string; label: string; production: boolean; count: number }
  | { kind: "row"; key: string; row: FleetRow };

/** Heights in CSS pixels; windowing relies on them. */
export const ROW_HEIGHT = 56;
export const GROUP_HEIGHT = 32;

const rank = (health: HealthWord): number => HEALTH_ORDER.indexOf(health);
const collator = new Intl.Collator("en", { numeric: true });

/** Rows that pass the filter. */
export function filterRows(rows: readonly FleetRow[], view: View): FleetRow[] {
  const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => {
    if (view.environment && row.environment !== view.environment) return false;
    if (view.protocol && row.protocol !== view.protocol) return false;
    if (view.health && row.health !== view.health) return false;
    const haystack = `${row.name} ${row.environment} ${row.protocol} ${row.model ?? ""} ${row.url} ${row.version ?? ""} ${row.reason}`.toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
}

const errorRate = (row: FleetRow): number | null => (row.n_known > 0 ? row.n_failed / row.n_known : null);

function compare(a: FleetRow, b: FleetRow, sort: SortBy): number {
  // Rows without a value come last in either direction, so they are ranked outside the comparison of values.
  switch (sort) {
    case "name":
      return 0;
    case "state":
      return rank(a.health) - rank(b.health);
    case "p95":
      return (a.p95_us ?? 0) - (b.p95_us ?? 0);
    case "errors":
      return (errorRate(a) ?? 0) - (errorRate(b) ?? 0);
    case "quality":
      return (a.quality?.value ?? 0) - (b.quality?.value ?? 0);
    case "version":
      return (a.version_since_ms ?? 0) - (b.version_since_ms ?? 0);
  }
}

function missing(row: FleetRow, sort: SortBy): boolean {
  if (sort === "p95") return row.p95_us === null;
  if (sort === "errors") return row.n_known === 0;
  if (sort === "quality") return (row.quality?.value ?? null) === null;
  return sort === "version" && row.version_since_ms === null;
}

/** Rows in order; equal ones by name. */
export function sortRows(rows: readonly FleetRow[], sort: SortBy, descending: boolean): FleetRow[] {
  const direction = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const gap = Number(missing(a, sort)) - Number(missing(b, sort));
    if (gap !== 0) return gap;
    const byValue = direction * compare(a, b, sort);
    return byValue !== 0 ? byValue : (sort === "name" ? direction : 1) * collator.compare(a.name, b.name);
  });
}

const ENVIRONMENTS = ["production", "staging", "development"];

/** Environments in the order in which they matter: production first. */
export function orderEnvironments(names: Iterable<string>): string[] {
  const place = (name: string): number => {
    const known = ENVIRONMENTS.indexOf(name);
    return known === -1 ? ENVIRONMENTS.length : known;
  };
  return [...new Set(names)].sort((a, b) => place(a) - place(b) || collator.compare(a, b));
}

const title = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The lines to show, group heads included. */
export function lines(rows: readonly FleetRow[], view: View): Line[] {
  const sorted = sortRows(filterRows(rows, view), view.sort, view.descending);
  const rowLine = (row: FleetRow): Line => ({ kind: "row", key: `row-${row.id}`, row });
  if (view.group === "none") return sorted.map(rowLine);
  const groupOf = (row: FleetRow): string => (view.group === "environment" ? row.environment : row.health);
  const groups = view.group === "environment" ? orderEnvironments(sorted.map(groupOf)) : HEALTH_ORDER;
  return groups.flatMap((name): Line[] => {
    const members = sorted.filter((row) => groupOf(row) === name);
    if (members.length === 0) return [];
    const production = view.group === "environment" && members.some((row) => row.production);
    return [{ kind: "group", key: `group-${name}`, label: title(name), production, count: members.length }, ...members.map(rowLine)];
  });
}

/** The part of the list that is in view, with the space above and below it. */
export interface Window {
  first: number;
  last: number;
  before: number;
  after: number;
}

const heightOf = (line: Line): number => (line.kind === "row" ? ROW_HEIGHT : GROUP_HEIGHT);

/** Top of each line, and the whole height at the end. */
export function offsets(all: readonly Line[]): number[] {
  const tops = [0];
  for (const line of all) tops.push((tops.at(-1) ?? 0) + heightOf(line));
  return tops;
}

/** The lines between `top` and `top + height`, with some more around them. */
export function windowOf(tops: readonly number[], top: number, height: number, overscan = 6): Window {
  const n = tops.length - 1;
  const total = tops[n] ?? 0;
  const find = (y: number): number => {
    let low = 0;
    let high = n;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((tops[middle] ?? 0) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const first = Math.max(0, find(Math.max(0, top)) - overscan);
  const last = Math.min(n, find(Math.max(0, top + height)) + 1 + overscan);
  return { first, last, before: tops[first] ?? 0, after: total - (tops[last] ?? total) };
}
