/** Binds a query of the cache to a Svelte component. */
import { untrack } from "svelte";
import type { ApiError } from "../backend/gen/types";
import type { QueryCache, QuerySpec, Snapshot } from "./cache";

/** Reactive view of one query. */
export interface Query<T> {
  /** The last good answer; with `keep`, that of the key before until the new one is there. */
  readonly data: T | undefined;
  /** Why the last fetch failed. */
  readonly error: ApiError | undefined;
  /** Nothing to show yet. */
  readonly loading: boolean;
  /** A fetch is under way. */
  readonly fetching: boolean;
  /** Data are shown although their refresh failed. */
  readonly stale: boolean;
  /** When the data came. */
  readonly fetchedAt: number | undefined;
  /** Fetches again. */
  refresh(): Promise<void>;
}

/**
 * Watches the query that `spec` describes for as long as the component lives; `undefined` asks nothing. With `keep`, a
 * changed key (another time range) leaves the old answer in view until the new one has come.
 */
export function createQuery<T>(
  cache: QueryCache,
  spec: () => QuerySpec<T> | undefined,
  options: { keep?: boolean } = {},
): Query<T> {
  let snapshot = $state.raw<Snapshot<T>>();
  let kept = $state.raw<T>();
  const key = $derived(spec()?.key);

  $effect.pre(() => {
    if (key === undefined) {
      snapshot = undefined;
      return;
    }
    const current = untrack(spec);
    if (!current) return;
    return cache.watch(current, (next) => {
      snapshot = next;
      if (next.data !== undefined) kept = next.data;
    });
  });

  const data = $derived(snapshot?.data ?? (options.keep ? kept : undefined));
  return {
    get data() {
      return data;
    },
    get error() {
      return snapshot?.error;
    },
    get loading() {
      return data === undefined && snapshot?.error === undefined;
    },
    get fetching() {
      return snapshot?.fetching ?? false;
    },
    get stale() {
      return snapshot?.stale ?? false;
    },
    get fetchedAt() {
      return snapshot?.fetchedAt;
    },
    async refresh() {
      if (key !== undefined) await cache.refresh(key);
    },
  };
}
