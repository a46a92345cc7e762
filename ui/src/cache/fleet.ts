/**
 * The fleet as it is held in the window: an answer brings the rows that changed and is laid over what was there.
 *
 * What must stay true: a row that did not change stays the same object, so that nothing of it is drawn again; changes laid
 * one over the other equal the whole answer.
 */
import type { Fleet, FleetRequest, FleetRow } from "../backend/gen/types";

/** The fleet's key in the cache. */
export const FLEET_KEY = "fleet";
/** What makes it stale. */
export const FLEET_TAGS = ["fleet", "demo", "secrets"];

/** Lays `changes` over `held`; `undefined` when they do not fit on it. */
export function applyChanges(held: Fleet | undefined, changes: Fleet): Fleet | undefined {
  const order = changes.order ?? held?.order;
  if (!order) return undefined;
  if (held && order === held.order && changes.endpoints.length === 0) return { ...changes, endpoints: held.endpoints, order };
  const rows = new Map<number, FleetRow>(held?.endpoints.map((row) => [row.id, row]));
  for (const row of changes.endpoints) rows.set(row.id, row);
  const endpoints = order.flatMap((id) => rows.get(id) ?? []);
  return endpoints.length === order.length ? { ...changes, endpoints, order } : undefined;
}

/** Reads the fleet again and again, each time only what changed. */
export function fleetLoader(ask: (request: FleetRequest) => Promise<Fleet>): () => Promise<Fleet> {
  let held: Fleet | undefined;
  return async () => {
    const changes = await ask({ since: held?.revision ?? null });
    const next = applyChanges(held, changes) ?? applyChanges(undefined, await ask({ since: null }));
    if (!next) throw new Error("the whole fleet came without its order");
    held = next;
    return next;
  };
}
