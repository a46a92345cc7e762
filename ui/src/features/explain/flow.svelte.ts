/**
 * One explanation from the chosen row to the waterfall. It lives outside the component, so that a run goes on while one
 * looks at another tab.
 *
 * What must stay true: a job is polled only while it runs; choosing another row while one runs does not start a second.
 */
import type { App } from "../../app.svelte";
import { toApiError } from "../../backend/errors";
import type { ApiError, Explanation, ExplainRequest, GoldenRow } from "../../backend/gen/types";

/** Between two looks at a running job. */
export const POLL_MS = 300;

/** What is explained: a golden row, perhaps with cells changed. */
export interface Subject {
  row: GoldenRow;
  cells: string[];
}

export class ExplainFlow {
  subject = $state<Subject | null>(null);
  /** Largest number of model rows; `null`: automatic. */
  budget = $state<number | null>(null);
  seed = $state(7);
  output = $state<number | null>(null);
  job = $state<string | null>(null);
  done = $state(0);
  total = $state(0);
  cancelling = $state(false);
  error = $state.raw<ApiError>();
  explanation = $state.raw<Explanation>();
  /** The row and cells that `explanation` is about. */
  explained = $state.raw<{ index: number; cells: string[]; edited: boolean }>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly app: App,
    readonly id: number,
  ) {}

  /** Chooses a golden row. */
  choose(row: GoldenRow): void {
    this.subject = { row, cells: [...row.cells] };
  }

  /** Whether a cell differs from the golden row. */
  get edited(): boolean {
    const { subject } = this;
    return subject !== null && subject.cells.some((cell, i) => cell !== subject.row.cells[i]);
  }

  /** What would be asked now. */
  get request(): ExplainRequest | undefined {
    const { subject } = this;
    if (!subject) return undefined;
    return {
      id: this.id,
      index: this.edited ? null : subject.row.index,
      cells: this.edited ? [...subject.cells] : null,
      output: this.output,
      budget: this.budget,
      seed: this.seed,
    };
  }

  /** Starts a run. */
  async run(): Promise<void> {
    const { request, subject } = this;
    if (!request || !subject || this.job !== null) return;
    const about = { index: subject.row.index, cells: [...subject.cells], edited: this.edited };
    this.error = undefined;
    this.done = this.total = 0;
    try {
      const { job } = await this.app.call("explain_start", request);
      this.job = job;
      await this.#look(job, about);
    } catch (thrown) {
      this.job = null;
      this.error = toApiError(thrown);
    }
  }

  async #look(job: string, about: NonNullable<typeof this.explained>): Promise<void> {
    let answer;
    try {
      answer = await this.app.call("explain_job", { job });
    } catch (thrown) {
      this.#end();
      this.error = toApiError(thrown);
      return;
    }
    switch (answer.state) {
      case "running":
        this.done = answer.done_rows;
        this.total = answer.total_rows;
        this.#timer = setTimeout(() => void this.#look(job, about), POLL_MS);
        return;
      case "done":
        this.explanation = answer.explanation;
        this.explained = about;
        break;
      case "failed":
        this.error = answer.error;
        break;
      case "cancelled":
        this.app.say("The explanation was cancelled", "info");
    }
    this.#end();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.job = null;
    this.cancelling = false;
  }

  /** Asks the engine to stop; the next look finds it cancelled. */
  async cancel(): Promise<void> {
    if (this.job === null) return;
    this.cancelling = true;
    await this.app.change("explain_cancel", { job: this.job });
  }
}

const flows = new WeakMap<App, Map<number, ExplainFlow>>();

/** The flow of an endpoint in this window. */
export function explainFlow(app: App, id: number): ExplainFlow {
  let mine = flows.get(app);
  if (!mine) flows.set(app, (mine = new Map()));
  let flow = mine.get(id);
  if (!flow) mine.set(id, (flow = new ExplainFlow(app, id)));
  return flow;
}
