import { describe, expect, it } from "vitest";
import { nearestPoint, seriesColours, seriesValue, timeAt, xAt } from "./plot";
import { Range } from "./range.svelte";

const plot = { left: 50, top: 0, right: 250, bottom: 100 };
const span = { from_ms: 1000, to_ms: 3000 };
const point = (at_ms: number) => ({ at_ms, values: [1], n: 1, note: null });

describe("pixels and time", () => {
  it("are inverse within the plot and kept at its edges", () => {
    for (const at of [1000, 1500, 2999, 3000]) expect(timeAt(xAt(at, span, plot), span, plot)).toBeCloseTo(at);
    expect(timeAt(0, span, plot)).toBe(1000);
    expect(xAt(9000, span, plot)).toBe(250);
  });
  it("the nearest point is the nearest in time", () => {
    const points = [1000, 1400, 2000].map(point);
    expect([900, 1190, 1210, 1700, 1701, 5000].map((at) => nearestPoint(points, at))).toEqual([0, 0, 1, 2, 2, 2]);
    expect(nearestPoint([], 5)).toBeNull();
  });
  it("values carry their unit", () => {
    expect(seriesValue(38_000, "us")).toBe("38 ms");
    expect(seriesValue(0.9932, "ratio")).toBe("99.32 %");
    expect(seriesValue(null, "us")).toBe("–");
    expect(seriesValue(14.23, "per_second")).toBe("14.2/s");
    expect(seriesValue(428_000_000, "bytes")).toBe("428 MB");
    expect([3, 2.5].map((value) => seriesValue(value, "count"))).toEqual(["3", "2.50"]);
  });
  it("colours tell the checks from the server, and their medians are quiet", () => {
    const series = ["checks p95", "checks p50", "server mean"].map((name) => ({ name, unit: "us" }));
    expect(seriesColours("server_latency", null, series)).toEqual(["accent", "accent quiet", "ink"]);
    expect(seriesColours("server", "errors", [{ name: "Errors", unit: "per_second" }])).toEqual(["bad"]);
    expect(seriesColours("server", "errors", series).length).toBe(3);
  });
});

describe("the range", () => {
  it("keeps its key while time passes, and takes a short drag for a slip", () => {
    const range = new Range();
    const key = range.key;
    expect(range.resolve(10_000_000)).toEqual({ from_ms: 6_400_000, to_ms: 10_000_000 });
    range.zoom(0, 500);
    expect(range.key).toBe(key);
    range.zoom(0, 60_000);
    expect(range.resolve(99)).toEqual({ from_ms: 0, to_ms: 60_000 });
    range.reset();
    expect(range.key).toBe(key);
  });
});
