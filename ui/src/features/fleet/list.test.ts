import { describe, expect, it } from "vitest";
import { fixtureBackend } from "../../backend/fixture/fixture";
import type { FleetRow } from "../../backend/gen/types";
import { GROUP_HEIGHT, ROW_HEIGHT, filterRows, lines, offsets, sortRows, windowOf, type View } from "./list";

const view = (more: Partial<View> = {}): View => ({ text: "", environment: "", protocol: "", health: "", group: "none", sort: "name", descending: false, ...more });
const rows = async (): Promise<FleetRow[]> => (await fixtureBackend().call("fleet", { since: null })).endpoints;
const names = (list: FleetRow[]): string[] => list.map((row) => row.name);

describe("the fleet's list", () => {
  it("filters by every word, by environment, protocol and state", async () => {
    const all = await rows();
    expect(names(filterRows(all, view({ text: "fell accuracy" })))).toEqual(["credit-risk"]);
    expect(names(filterRows(all, view({ environment: "staging", protocol: "mlflow" })))).toEqual(["diabetes"]);
    expect(names(filterRows(all, view({ health: "down" })))).toEqual(["fraud-scores"]);
  });
  it("puts the worst first and rows without a value last, in both directions", async () => {
    const all = await rows();
    expect(names(sortRows(all, "state", false)).slice(0, 2)).toEqual(["fraud-scores", "credit-risk"]);
    for (const descending of [true, false]) expect(sortRows(all, "p95", descending).at(-1)?.p95_us).toBeNull();
    expect(names(sortRows(all, "p95", true))[0]).toBe("support-chat");
  });
  it("groups production first and marks it", async () => {
    const heads = lines(await rows(), view({ group: "environment" })).filter((line) => line.kind === "group");
    expect(heads.map((head) => head.kind === "group" && [head.label, head.production])).toEqual([["Production", true], ["Staging", false], ["Development", false]]);
  });
  it("shows a window of 1,000 rows whose spaces add up to the whole height", async () => {
    const all = lines((await fixtureBackend({ large: 1000 }).call("fleet", { since: null })).endpoints, view({ group: "environment" }));
    const tops = offsets(all);
    const whole = 1000 * ROW_HEIGHT + 3 * GROUP_HEIGHT;
    expect(tops.at(-1)).toBe(whole);
    for (const top of [-200, 0, 1, 5000, 31_234, whole - 800, whole + 5000]) {
      const part = windowOf(tops, top, 800);
      const shown = (tops[part.last] ?? 0) - (tops[part.first] ?? 0);
      expect(part.before + shown + part.after).toBe(whole);
      expect(part.last - part.first).toBeLessThan(50);
      const at = Math.max(0, Math.min(top, whole - 1));
      expect(tops[part.first]).toBeLessThanOrEqual(at);
    }
  });
});
