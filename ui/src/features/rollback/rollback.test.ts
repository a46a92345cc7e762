import { cleanup, screen } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { callsOf, start, type Started } from "../../test/render";

const user = () => userEvent.setup({ advanceTimers: (ms) => vi.advanceTimersByTime(ms) });

/** The sheet of credit-risk with reason and name typed. */
async function confirmed(options = {}): Promise<Started & { user: ReturnType<typeof user> }> {
  const window = start("#/endpoint/1/health", options);
  const hands = user();
  await hands.click(await screen.findByTestId("rollback-open"));
  await hands.type(await screen.findByTestId("rollback-reason"), "v7 reads income in cents");
  await hands.type(screen.getByTestId("rollback-confirm-name"), "credit-risk");
  return { ...window, user: hands };
}
const apply = (): HTMLButtonElement => screen.getByTestId<HTMLButtonElement>("rollback-apply");

describe("the rollback sheet", () => {
  beforeEach(() => void vi.useFakeTimers({ shouldAdvanceTime: true }));
  afterEach(() => {
    cleanup();
    vi.useRealTimers();
  });

  it("shows the plan: versions, exact calls with masked secrets, and every check with its word", async () => {
    await confirmed();
    expect(screen.getByText("Target, last good")).toBeTruthy();
    expect(screen.getByText("http://127.0.0.1:8099/models/credit-risk/live", { exact: false }).textContent).toContain("••••");
    expect(screen.getByTestId("check-target_exists").textContent).toContain("Pass");
  });

  it("wants a reason, and in production the endpoint's exact name", async () => {
    const { user: hands, backend } = await confirmed();
    expect(apply().disabled).toBe(false);
    await hands.type(screen.getByTestId("rollback-confirm-name"), "x");
    expect(apply().disabled).toBe(true);
    await hands.clear(screen.getByTestId("rollback-confirm-name"));
    await hands.type(screen.getByTestId("rollback-confirm-name"), "credit-risk");
    await hands.clear(screen.getByTestId("rollback-reason"));
    expect(apply().disabled).toBe(true);
    expect(callsOf(backend, "rollback_apply")).toHaveLength(0);
  });

  it("sends nothing when cancelled within 5 s, and can be confirmed again", async () => {
    const { user: hands, backend } = await confirmed();
    await hands.click(apply());
    await vi.advanceTimersByTimeAsync(4500);
    await hands.click(screen.getByTestId("rollback-cancel"));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(callsOf(backend, "rollback_apply")).toHaveLength(0);
    await hands.click(apply());
    await vi.advanceTimersByTimeAsync(5200);
    expect(callsOf(backend, "rollback_apply")).toHaveLength(1);
  });

  it("sends nothing when the sheet is closed during the countdown", async () => {
    const { user: hands, backend, app } = await confirmed();
    await hands.click(apply());
    await vi.advanceTimersByTimeAsync(2000);
    app.sheet = null;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(callsOf(backend, "rollback_apply")).toHaveLength(0);
  });

  it("applies the plan on view once after 5 s and shows the verdict with its evidence", async () => {
    const { user: hands, backend } = await confirmed();
    await hands.click(apply());
    await vi.advanceTimersByTimeAsync(4800);
    expect(callsOf(backend, "rollback_apply")).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(callsOf(backend, "rollback_apply")).toEqual([{ plan_id: expect.stringContaining("plan-"), confirm: "credit-risk", reason: "v7 reads income in cents" }]);
    expect((await screen.findByTestId("rollback-verdict")).textContent).toBe("VERIFIED");
    expect(screen.getByText("0.773 [0.752, 0.794]")).toBeTruthy();
  });

  it("finds the run again after closing and reopening", async () => {
    const { user: hands, app, backend } = await confirmed({ runMs: 60_000 });
    await hands.click(apply());
    await vi.advanceTimersByTimeAsync(6000);
    expect(await screen.findByTestId("rollback-progress")).toBeTruthy();
    app.sheet = null;
    await vi.advanceTimersByTimeAsync(500);
    const plans = callsOf(backend, "rollback_plan").length;
    app.rollBack(1);
    expect(await screen.findByTestId("rollback-progress")).toBeTruthy();
    expect(callsOf(backend, "rollback_plan")).toHaveLength(plans);
    await vi.advanceTimersByTimeAsync(70_000);
    expect((await screen.findByTestId("rollback-verdict")).textContent).toBe("VERIFIED");
  });

  it("warns when serving will not follow, and shows a failed plan with its hint", async () => {
    const { app, backend } = start("#/fleet");
    await screen.findByTestId("fleet-row-churn");
    app.rollBack(3);
    expect(await screen.findByText("Serving will not follow by itself.")).toBeTruthy();
    app.sheet = null;
    await vi.advanceTimersByTimeAsync(300);
    backend.options.failing = new Set(["rollback_plan"]);
    app.rollBack(1);
    expect((await screen.findByTestId("error-panel")).textContent).toContain("Wait a moment, then retry.");
  });
});
