/** What can be done to an endpoint from more than one place: row, header and command palette. */
import type { App } from "../app.svelte";
import type { FleetRow } from "../backend/gen/types";
import { duration, fixed, metricName, versionLabel } from "../shared/format";

/** Tags that an action on an endpoint makes stale. */
export const endpointTags = (id: number): string[] => ["fleet", `endpoint:${id}`, "timeline"];

/** Probes at once and says what came of it. */
export async function probeNow(app: App, row: Pick<FleetRow, "id" | "name">): Promise<void> {
  const result = await app.change("probe_now", { id: row.id }, endpointTags(row.id));
  if (!result) return;
  const ok = result.outcome === "ok";
  const text = ok ? `${row.name} answered in ${duration(result.total_us)}` : `${row.name}: ${result.detail ?? result.reason ?? result.outcome}`;
  app.say(text, ok ? "ok" : result.outcome === "unknown" ? "warn" : "bad");
}

/** Evaluates the golden set at once. */
export async function evaluateNow(app: App, row: Pick<FleetRow, "id" | "name">): Promise<void> {
  const result = await app.change("evaluate_now", { id: row.id }, [...endpointTags(row.id), `quality:${row.id}`, `versions:${row.id}`]);
  const main = result?.metrics[0];
  if (result) app.say(`${row.name} ${versionLabel(result.version)}: ${main ? `${metricName(main.name).toLowerCase()} ${fixed(main.value)}` : "evaluated"} on ${result.n} rows`);
}

/** Pauses or resumes. */
export async function setPaused(app: App, row: Pick<FleetRow, "id" | "name">, paused: boolean): Promise<void> {
  const done = await app.change("endpoint_pause", { id: row.id, paused }, endpointTags(row.id));
  if (done !== undefined) app.say(`${row.name} is ${paused ? "paused: it is not checked until resumed" : "checked again"}`);
}

/** Faults of the demo fleet with their names. */
export const FAULTS: readonly { fault: string; label: string }[] = [
  { fault: "none", label: "No fault" },
  { fault: "latency", label: "High latency" },
  { fault: "errors", label: "Server errors" },
  { fault: "hang", label: "Hang" },
  { fault: "wrong_shape", label: "Wrong shape" },
  { fault: "version_defect", label: "Bad version" },
];

/** Injects or clears a fault in the demo fleet. */
export async function injectFault(app: App, model: string, fault: string): Promise<void> {
  const done = await app.change("demo_inject", { model, fault }, ["fleet", "demo", "timeline"]);
  if (!done) return;
  const label = FAULTS.find((entry) => entry.fault === fault)?.label ?? fault;
  app.say(fault === "none" ? `${model}: faults cleared` : `${model}: ${label.toLowerCase()}`, fault === "none" ? "ok" : "warn");
}
