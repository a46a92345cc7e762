/** Words and tones of states: colour never stands alone, each tone has a shape and a word. */
import type { BeatOutcome, CheckStatus, HealthWord, StepState, Verdict } from "../backend/gen/types";

/** Shape and colour. */
export type Shape = "ok" | "warn" | "bad" | "unknown" | "info" | "paused" | "waiting" | "busy";

export const HEALTH_SHAPE: Record<HealthWord, Shape> = {
  healthy: "ok",
  degraded: "warn",
  down: "bad",
  unknown: "unknown",
  paused: "paused",
};

/** Worst first: the order in which an engineer on call wants to see them. */
export const HEALTH_ORDER: readonly HealthWord[] = ["down", "degraded", "unknown", "paused", "healthy"];

export const BEAT_WORD: Record<BeatOutcome, string> = {
  ok: "In order",
  slow: "Slow",
  failed: "Failed",
  unknown: "Unknown",
};

export const CHECK_SHAPE: Record<CheckStatus, Shape> = { pass: "ok", warn: "warn", block: "bad" };
export const CHECK_WORD: Record<CheckStatus, string> = { pass: "Pass", warn: "Warning", block: "Blocks" };

export const STEP_SHAPE: Record<StepState, Shape> = { waiting: "waiting", sent: "busy", done: "ok", failed: "bad" };
export const STEP_WORD: Record<StepState, string> = { waiting: "Waiting", sent: "Sent", done: "Done", failed: "Failed" };

export const VERDICT_SHAPE: Record<Verdict, Shape> = {
  verified: "ok",
  not_verified: "warn",
  reverted: "warn",
  failed: "bad",
  outcome_unknown: "unknown",
};
export const VERDICT_WORD: Record<Verdict, string> = {
  verified: "VERIFIED",
  not_verified: "NOT VERIFIED",
  reverted: "REVERTED",
  failed: "FAILED",
  outcome_unknown: "OUTCOME UNKNOWN",
};
