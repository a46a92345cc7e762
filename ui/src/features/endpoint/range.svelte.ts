/** The one time range of all tabs of an endpoint: the last so many minutes, or a stretch chosen by dragging. */
import { dayClock, shortClock } from "../../shared/format";

const MINUTE = 60_000;

/** Ranges to choose from. */
export const PRESETS = [
  { ms: 15 * MINUTE, label: "15 min" },
  { ms: 60 * MINUTE, label: "1 h" },
  { ms: 360 * MINUTE, label: "6 h" },
  { ms: 1440 * MINUTE, label: "24 h" },
  { ms: 7 * 1440 * MINUTE, label: "7 d" },
  { ms: 30 * 1440 * MINUTE, label: "30 d" },
] as const;

/** A stretch of time. */
export interface Span {
  from_ms: number;
  to_ms: number;
}

/** The range in force. */
export class Range {
  /** Length of the moving range. */
  last = $state<number>(PRESETS[1].ms);
  /** A fixed stretch; `null`: the moving range. */
  fixed = $state.raw<Span | null>(null);

  /** Identity for query keys: the moving range keeps its key while time passes. */
  get key(): string {
    return this.fixed ? `${this.fixed.from_ms}-${this.fixed.to_ms}` : `last-${this.last}`;
  }

  /** In words. */
  get label(): string {
    const { fixed } = this;
    if (fixed) {
      const sameDay = new Date(fixed.from_ms).toDateString() === new Date(fixed.to_ms).toDateString();
      return `${dayClock(fixed.from_ms)} to ${sameDay ? shortClock(fixed.to_ms) : dayClock(fixed.to_ms)}`;
    }
    return `Last ${PRESETS.find((preset) => preset.ms === this.last)?.label ?? ""}`;
  }

  /** Start and end now. */
  resolve(now = Date.now()): Span {
    return this.fixed ?? { from_ms: now - this.last, to_ms: now };
  }

  /** A range that an endpoint watched since then fills: before a person chose one, the first quarter of an hour is not lost
   * in an empty hour. */
  fit(since_ms: number, now = Date.now()): void {
    if (this.#fitted) return;
    this.#fitted = true;
    if (now - since_ms < PRESETS[0].ms) this.last = PRESETS[0].ms;
  }
  #fitted = false;

  /** Chooses a moving range. */
  choose(ms: number): void {
    this.fixed = null;
    this.last = ms;
  }

  /** Chooses a stretch; shorter than 10 s is taken for a slip of the hand. */
  zoom(from_ms: number, to_ms: number): void {
    if (to_ms - from_ms >= 10_000) this.fixed = { from_ms: Math.round(from_ms), to_ms: Math.round(to_ms) };
  }

  /** Back to the moving range. */
  reset(): void {
    this.fixed = null;
  }
}
