import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { QueryCache, type Snapshot } from "./cache";

/** A query whose answers the test gives by hand. */
function controlled(tags: string[], key = "k") {
  const waiting: { resolve: (value: string) => void; reject: (error: unknown) => void }[] = [];
  const load = vi.fn(() => new Promise<string>((resolve, reject) => waiting.push({ resolve, reject })));
  return { spec: { key, tags, load }, load, waiting };
}
const settle = async (): Promise<void> => {
  await vi.advanceTimersByTimeAsync(0);
};

describe("QueryCache", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("fetches a watched query once for a burst of stale tags", async () => {
    const cache = new QueryCache(100);
    const { spec, load, waiting } = controlled(["fleet"]);
    cache.watch(spec, () => undefined);
    waiting[0]?.resolve("one");
    await settle();
    cache.invalidate(["fleet"]);
    cache.invalidate(["fleet", "other"]);
    cache.invalidate(["fleet"]);
    await vi.advanceTimersByTimeAsync(100);
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("leaves a query alone whose tags are not stale", async () => {
    const cache = new QueryCache(0);
    const { spec, load, waiting } = controlled(["endpoint:1"]);
    cache.watch(spec, () => undefined);
    waiting[0]?.resolve("one");
    await settle();
    cache.invalidate(["endpoint:11", "fleet"]);
    await vi.advanceTimersByTimeAsync(10);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("keeps the last data while it fetches again, and marks them stale when that fails", async () => {
    const cache = new QueryCache(0, () => 42);
    const seen: Snapshot<string>[] = [];
    const { spec, waiting } = controlled(["fleet"]);
    cache.watch<string>(spec, (snapshot) => seen.push(snapshot));
    waiting[0]?.resolve("one");
    await settle();
    cache.invalidate(["fleet"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(seen.at(-1)).toMatchObject({ data: "one", fetching: true, stale: false });
    waiting[1]?.reject({ code: "storage", message: "busy", hint: null });
    await settle();
    expect(seen.at(-1)).toMatchObject({ data: "one", fetching: false, stale: true, fetchedAt: 42, error: { code: "storage" } });
    void cache.refresh("k");
    waiting[2]?.resolve("two");
    await settle();
    expect(seen.at(-1)).toMatchObject({ data: "two", stale: false, error: undefined });
  });

  it("fetches once more when a tag becomes stale during a fetch", async () => {
    const cache = new QueryCache(0);
    const { spec, load, waiting } = controlled(["fleet"]);
    cache.watch(spec, () => undefined);
    cache.invalidate(["fleet"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(load).toHaveBeenCalledTimes(1);
    waiting[0]?.resolve("old");
    await settle();
    expect(load).toHaveBeenCalledTimes(2);
    waiting[1]?.resolve("new");
    await settle();
    expect(cache.peek("k").data).toBe("new");
  });

  it("does not fetch what nobody watches until it is watched again", async () => {
    const cache = new QueryCache(0);
    const { spec, load, waiting } = controlled(["fleet"]);
    const stop = cache.watch(spec, () => undefined);
    waiting[0]?.resolve("one");
    await settle();
    stop();
    cache.invalidate(["fleet"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(load).toHaveBeenCalledTimes(1);
    const seen: Snapshot<string>[] = [];
    cache.watch<string>(spec, (snapshot) => seen.push(snapshot));
    expect(seen[0]?.data).toBe("one");
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("gives two watchers of one key one fetch", async () => {
    const cache = new QueryCache(0);
    const { spec, load } = controlled(["fleet"]);
    cache.watch(spec, () => undefined);
    cache.watch(spec, () => undefined);
    expect(load).toHaveBeenCalledTimes(1);
  });
});
