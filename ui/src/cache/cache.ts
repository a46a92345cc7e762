/**
 * The query cache: one entry per key, shared by every screen that asks for it.
 *
 * What must stay true: data once shown stay visible while they are fetched again and when that fails; a tag that becomes
 * stale fetches every watched entry that declared it, once per burst; an answer never overwrites a newer one.
 */
import type { ApiError } from "../backend/gen/types";
import { toApiError } from "../backend/errors";

/** What a query needs. */
export interface QuerySpec<T> {
  /** Identity: equal keys share one entry. */
  key: string;
  /** Tags that make it stale. */
  tags: readonly string[];
  /** Fetches. Called at each refresh, so it may read the time. */
  load: () => Promise<T>;
}

/** What a screen sees of a query. */
export interface Snapshot<T> {
  /** The last good answer. */
  data: T | undefined;
  /** Why the last fetch failed; `undefined` after a good one. */
  error: ApiError | undefined;
  /** A fetch is under way. */
  fetching: boolean;
  /** The data shown are older than they should be: the last refresh failed. */
  stale: boolean;
  /** When `data` came, by this machine's clock. */
  fetchedAt: number | undefined;
}

interface Entry {
  spec: QuerySpec<unknown>;
  snapshot: Snapshot<unknown>;
  listeners: Set<(snapshot: Snapshot<unknown>) => void>;
  invalid: boolean;
  again: boolean;
  lastUsed: number;
}

const EMPTY: Snapshot<never> = {
  data: undefined,
  error: undefined,
  fetching: false,
  stale: false,
  fetchedAt: undefined,
};

/** Unwatched entries kept for a quick way back. */
const KEEP_UNWATCHED = 60;

/** Holds every query of the window. */
export class QueryCache {
  #entries = new Map<string, Entry>();
  #pending = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `coalesceMs`: stale tags that arrive within this time cause one fetch. `now`: the clock. */
  constructor(
    readonly coalesceMs = 120,
    readonly now: () => number = () => Date.now(),
  ) {}

  /** Watches a query; `listener` hears every change, at once with the present state. Answers a function that stops. */
  watch<T>(spec: QuerySpec<T>, listener: (snapshot: Snapshot<T>) => void): () => void {
    const entry = this.#entry(spec);
    const heard = listener as (snapshot: Snapshot<unknown>) => void;
    entry.spec = spec as QuerySpec<unknown>;
    entry.lastUsed = this.now();
    entry.listeners.add(heard);
    heard(entry.snapshot);
    if (entry.invalid && !entry.snapshot.fetching) void this.#fetch(entry);
    return () => {
      entry.listeners.delete(heard);
      entry.lastUsed = this.now();
      this.#forgetOld();
    };
  }

  /** What is known of a key without asking. */
  peek<T>(key: string): Snapshot<T> {
    return (this.#entries.get(key)?.snapshot ?? EMPTY) as Snapshot<T>;
  }

  /** Fetches a key again now. */
  async refresh(key: string): Promise<void> {
    const entry = this.#entries.get(key);
    if (entry) await this.#fetch(entry);
  }

  /** Marks tags as stale: watched entries are fetched soon, the others when they are next watched. */
  invalidate(tags: readonly string[]): void {
    for (const tag of tags) this.#pending.add(tag);
    this.#timer ??= setTimeout(() => this.#flush(), this.coalesceMs);
  }

  #flush(): void {
    this.#timer = undefined;
    const tags = this.#pending;
    this.#pending = new Set();
    for (const entry of this.#entries.values()) {
      if (!entry.spec.tags.some((tag) => tags.has(tag))) continue;
      entry.invalid = true;
      if (entry.listeners.size > 0) void this.#fetch(entry);
    }
  }

  #entry<T>(spec: QuerySpec<T>): Entry {
    let entry = this.#entries.get(spec.key);
    if (!entry) {
      entry = {
        spec: spec as QuerySpec<unknown>,
        snapshot: EMPTY,
        listeners: new Set(),
        invalid: true,
        again: false,
        lastUsed: this.now(),
      };
      this.#entries.set(spec.key, entry);
    }
    return entry;
  }

  async #fetch(entry: Entry): Promise<void> {
    if (entry.snapshot.fetching) {
      // What is under way may have been answered before the change: fetch once more after it.
      entry.again = true;
      return;
    }
    entry.invalid = false;
    this.#publish(entry, { ...entry.snapshot, fetching: true });
    try {
      const data = await entry.spec.load();
      this.#publish(entry, { data, error: undefined, fetching: false, stale: false, fetchedAt: this.now() });
    } catch (thrown) {
      const { data, fetchedAt } = entry.snapshot;
      entry.invalid = true;
      this.#publish(entry, { data, error: toApiError(thrown), fetching: false, stale: data !== undefined, fetchedAt });
    }
    if (entry.again) {
      entry.again = false;
      if (entry.listeners.size > 0) await this.#fetch(entry);
      else entry.invalid = true;
    }
  }

  #publish(entry: Entry, snapshot: Snapshot<unknown>): void {
    entry.snapshot = snapshot;
    for (const listener of entry.listeners) listener(snapshot);
  }

  #forgetOld(): void {
    const idle = [...this.#entries.entries()].filter(([, entry]) => entry.listeners.size === 0 && !entry.snapshot.fetching);
    if (idle.length <= KEEP_UNWATCHED) return;
    idle.sort(([, a], [, b]) => a.lastUsed - b.lastUsed);
    for (const [key] of idle.slice(0, idle.length - KEEP_UNWATCHED)) this.#entries.delete(key);
  }
}
