import { afterEach, describe, expect, it, vi } from "vitest";
import { fixtureBackend } from "../backend/fixture/fixture";
import type { Fleet, FleetRequest, FleetRow } from "../backend/gen/types";
import { applyChanges, fleetLoader } from "./fleet";

const row = (id: number, name = `endpoint ${id}`): FleetRow => ({ id, name }) as FleetRow;
const answer = (revision: number, endpoints: FleetRow[], order: number[] | null): Fleet => ({
  now_ms: revision, revision, endpoints, order, demo: null, keyring: "present", online: true,
});
const ids = (fleet: Fleet | undefined): number[] | undefined => fleet?.endpoints.map((held) => held.id);

describe("the fleet held in the window", () => {
  const held = answer(1, [row(1), row(2), row(3)], [1, 2, 3]);
  it("replaces the rows that changed and keeps the others as they are", () => {
    const next = applyChanges(held, answer(2, [row(2, "renamed")], null));
    expect(next?.endpoints.map((each) => each.name)).toEqual(["endpoint 1", "renamed", "endpoint 3"]);
    expect(next?.endpoints[0]).toBe(held.endpoints[0]);
    expect(next?.revision).toBe(2);
  });
  it("keeps the very list when nothing changed", () => {
    expect(applyChanges(held, answer(1, [], null))?.endpoints).toBe(held.endpoints);
  });
  it("adds, removes and moves rows by the order", () => {
    expect(ids(applyChanges(held, answer(2, [row(4)], [4, 3, 1])))).toEqual([4, 3, 1]);
    expect(ids(applyChanges(held, answer(2, [], [])))).toEqual([]);
  });
  it("refuses changes that do not fit on what is held", () => {
    expect(applyChanges(undefined, answer(2, [row(2)], null))).toBeUndefined();
    expect(applyChanges(held, answer(2, [], [1, 2, 3, 4]))).toBeUndefined();
  });
});

describe("loading the fleet", () => {
  afterEach(() => void vi.useRealTimers());
  it("asks with the revision it has, and for everything when the changes do not fit", async () => {
    const asked: FleetRequest[] = [];
    const answers = [answer(5, [row(1)], [1]), answer(6, [], null), answer(9, [], [1, 7]), answer(9, [row(1), row(7)], [1, 7])];
    const load = fleetLoader((request) => {
      asked.push(request);
      return Promise.resolve(answers.shift() as Fleet);
    });
    await load();
    await load();
    expect(ids(await load())).toEqual([1, 7]);
    expect(asked.map((request) => request.since)).toEqual([null, 5, 6, null]);
  });
  it("keeps what it holds when an answer fails", async () => {
    const answers = [Promise.resolve(answer(5, [row(1)], [1])), Promise.reject(new Error("busy")), Promise.resolve(answer(6, [], null))];
    const load = fleetLoader(() => answers.shift() as Promise<Fleet>);
    await load();
    await expect(load()).rejects.toThrow("busy");
    expect(ids(await load())).toEqual([1]);
  });
  it("adds up to the whole on a fleet that changes", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const backend = fixtureBackend();
    const load = fleetLoader((request) => backend.call("fleet", request));
    const whole = async (): Promise<Fleet> => backend.call("fleet", { since: null });
    const check = async (): Promise<void> => {
      const [added, all] = [await load(), await whole()];
      expect(added).toEqual(all);
    };
    await check();
    await backend.call("endpoint_pause", { id: 3, paused: true });
    await check();
    await backend.call("endpoint_remove", { id: 5, confirm: "wine" });
    await check();
    await backend.call("demo_remove", {});
    await check();
  });
});
