/**
 * The way of one rollback through the sheet: plan → countdown → run.
 *
 * What must stay true: `rollback_apply` is called exactly once, only when the countdown has ended uncancelled, with the
 * plan that was on view; closing the sheet during the countdown cancels it.
 */
import type { App } from "../../app.svelte";
import { toApiError } from "../../backend/errors";
import type { ApiError, RollbackPlan, RollbackRun } from "../../backend/gen/types";

/** Time to think again, after the confirmation. */
export const COUNTDOWN_MS = 5000;
/** Between two looks at a run; the stale tag usually comes first. */
export const POLL_MS = 1000;

export type Phase = "opening" | "plan" | "countdown" | "sending" | "run";

/** One opened sheet. */
export class RollbackFlow {
  phase = $state<Phase>("opening");
  plan = $state.raw<RollbackPlan>();
  /** The version that the engine proposed by itself. */
  lastGood = $state<string>();
  planning = $state(false);
  planError = $state.raw<ApiError>();
  applyError = $state.raw<ApiError>();
  run = $state.raw<RollbackRun>();
  runError = $state.raw<ApiError>();
  reason = $state("");
  typed = $state("");
  /** Milliseconds left of the countdown. */
  left = $state(COUNTDOWN_MS);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #poll: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #asked = 0;

  constructor(
    readonly app: App,
    readonly id: number,
  ) {}

  /** Shows the run that is under way, else prepares a plan. */
  async open(to: string | null): Promise<void> {
    const known = this.app.runs[this.id];
    if (known !== undefined) return this.follow(known);
    try {
      const { runs } = await this.app.call("rollback_runs", { id: this.id });
      const active = runs.find((run) => run.state !== "finished");
      if (this.#closed) return;
      if (active) return this.follow(active.run_id);
    } catch {
      // The plan's own preflight tells of a run under way; its answer decides.
    }
    await this.prepare(to);
  }

  /** Prepares a plan for a version; `null`: the last good one. */
  async prepare(to: string | null): Promise<void> {
    const asked = ++this.#asked;
    this.phase = "plan";
    this.planning = true;
    this.planError = undefined;
    this.applyError = undefined;
    try {
      const plan = await this.app.call("rollback_plan", { id: this.id, to });
      // A later choice overtakes this one.
      if (asked === this.#asked) {
        this.plan = plan;
        if (to === null) this.lastGood = plan.to.version;
      }
    } catch (thrown) {
      if (asked === this.#asked) this.planError = toApiError(thrown);
    }
    if (asked === this.#asked) this.planning = false;
  }

  /** Why it cannot be confirmed yet; `null`: it can. */
  get missing(): string | null {
    if (!this.plan || this.planning) return "The plan is being prepared";
    if (this.plan.blocked) return "A check blocks this rollback";
    if (this.reason.trim() === "") return "Say why";
    if (this.plan.production && this.typed !== this.plan.endpoint) return `Type ${this.plan.endpoint} to confirm`;
    return null;
  }

  /** Starts the countdown. */
  confirm(): void {
    if (this.phase !== "plan" || this.missing !== null) return;
    this.phase = "countdown";
    this.applyError = undefined;
    const end = Date.now() + COUNTDOWN_MS;
    const tick = (): void => {
      this.left = Math.max(0, end - Date.now());
      if (this.left > 0) this.#timer = setTimeout(tick, Math.min(100, this.left));
      else void this.#apply();
    };
    tick();
  }

  /** Stops the countdown. Nothing has been sent. */
  cancel(): void {
    clearTimeout(this.#timer);
    if (this.phase === "countdown") this.phase = "plan";
  }

  async #apply(): Promise<void> {
    const plan = this.plan;
    if (!plan || this.phase !== "countdown") return;
    this.phase = "sending";
    try {
      const confirm = plan.production ? this.typed : plan.endpoint;
      const run = await this.app.call("rollback_apply", { plan_id: plan.plan_id, confirm, reason: this.reason.trim() });
      this.app.runs[this.id] = run.run_id;
      this.app.cache.invalidate(["fleet", `rollbacks:${this.id}`, `endpoint:${this.id}`]);
      this.#show(run);
    } catch (thrown) {
      this.phase = "plan";
      this.applyError = toApiError(thrown);
    }
  }

  /** Follows a run to its end. */
  async follow(runId: string): Promise<void> {
    this.phase = "run";
    clearTimeout(this.#poll);
    try {
      const run = await this.app.call("rollback_status", { run_id: runId });
      this.runError = undefined;
      this.#show(run);
    } catch (thrown) {
      this.runError = toApiError(thrown);
      this.#again(runId);
    }
  }

  #show(run: RollbackRun): void {
    this.run = run;
    this.phase = "run";
    if (run.state !== "finished") this.#again(run.run_id);
  }

  #again(runId: string): void {
    if (this.#closed) return;
    this.#poll = setTimeout(() => void this.follow(runId), POLL_MS);
  }

  /** A new plan after a finished run. */
  async startOver(): Promise<void> {
    delete this.app.runs[this.id];
    this.run = undefined;
    this.reason = this.typed = "";
    await this.prepare(null);
  }

  /** The sheet closes: a countdown stops; a run goes on without being watched. */
  close(): void {
    this.#closed = true;
    this.cancel();
    clearTimeout(this.#poll);
    // A finished run has been seen; the next opening makes a new plan.
    if (this.run?.state === "finished") delete this.app.runs[this.id];
  }
}
