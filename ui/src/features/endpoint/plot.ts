/** Between pixels and time on a chart, by the plot area that the engine reports. */
import type { ChartKind, ChartPoint, ChartSeries, PlotArea } from "../../backend/gen/types";
import { bytes, count, duration, fixed, percent, significant } from "../../shared/format";
import type { Span } from "./range.svelte";

/** The time under a pixel, kept within the plot. */
export function timeAt(x: number, span: Span, plot: PlotArea): number {
  const share = (x - plot.left) / Math.max(1, plot.right - plot.left);
  return span.from_ms + Math.max(0, Math.min(1, share)) * (span.to_ms - span.from_ms);
}

/** The pixel of a time, kept within the plot. */
export function xAt(at: number, span: Span, plot: PlotArea): number {
  const share = (at - span.from_ms) / Math.max(1, span.to_ms - span.from_ms);
  return plot.left + Math.max(0, Math.min(1, share)) * (plot.right - plot.left);
}

/** Index of the point nearest in time; `null` without points. Points are in order of time. */
export function nearestPoint(points: readonly ChartPoint[], at: number): number | null {
  let low = 0;
  let high = points.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle]?.at_ms ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  const before = points[low - 1];
  const here = points[low];
  return before && here && at - before.at_ms < here.at_ms - at ? low - 1 : low;
}

/** A value of a series with its unit. */
export function seriesValue(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined) return "–";
  switch (unit) {
    case "us":
      return duration(value);
    case "ratio":
      return percent(value, 2);
    case "per_second":
      return `${significant(value, 3)}/s`;
    case "bytes":
      return bytes(value);
    case "cores":
      return `${significant(value, 3)} cores`;
    case "count":
      return Number.isInteger(value) ? count(value) : significant(value, 3);
    default:
      return fixed(value);
  }
}

/** The colours that the engine gives to lines without a meaning of their own, in their order. */
const SEQUENCE = ["accent", "ok", "warn", "bad", "ink", "muted"];

/** The colour of each series of a chart, as a class; a companion line is quiet. */
export function seriesColours(kind: ChartKind, quantity: string | null, series: readonly ChartSeries[]): string[] {
  const quiet = (name: string): string => (name.endsWith("p50") ? " quiet" : "");
  switch (kind) {
    case "latency":
    case "first_token":
    case "inter_token":
      return ["unknown", "accent", "warn"];
    case "tokens_per_second":
      return ["accent", "warn"];
    case "availability":
      return ["ok", "warn", "bad"];
    case "quality":
      return ["accent", "band", "band"];
    case "server_latency":
      return series.map((s) => `${s.name.startsWith("server") ? "ink" : "accent"}${quiet(s.name)}`);
    case "server":
      if (series.length > 0 && series.every((s) => s.name.startsWith("server "))) return series.map((s) => `accent${quiet(s.name)}`);
      return quantity === "errors" && series.length === 1 ? ["bad"] : series.map((_, i) => SEQUENCE[i % SEQUENCE.length] ?? "accent");
  }
}
