import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { callsOf, start } from "../../test/render";

describe("the explain tab", () => {
  it("shows the cost before anything runs, then the waterfall of the chosen row", async () => {
    const { backend } = start("#/endpoint/1/explain");
    await waitFor(() => expect(screen.getByTestId("explain-cost").textContent).toContain("3,200 rows in 13 calls"));
    expect(callsOf(backend, "explain_start")).toHaveLength(0);
    await userEvent.click(screen.getByTestId("explain-run"));
    await waitFor(() => expect(screen.getByTestId("explain-waterfall").querySelector("img")).toBeTruthy());
    expect(callsOf(backend, "explain_start")).toEqual([{ id: 1, index: 5, cells: null, output: null, budget: null, seed: 7 }]);
    // The engine's picture is an image, never markup in the page.
    expect(screen.getByTestId("explain-waterfall").querySelector("svg[xmlns] rect")).toBeNull();
  });

  it("shows the same attributions as a table whose sum is the prediction", async () => {
    start("#/endpoint/1/explain");
    await waitFor(() => expect(screen.getByTestId<HTMLButtonElement>("explain-run").disabled).toBe(false));
    await userEvent.click(screen.getByTestId("explain-run"));
    await userEvent.click(await screen.findByText("Show as table"));
    const cells = [...screen.getByTestId("explain-waterfall").querySelectorAll("tbody tr")].map((row) => Number(row.querySelectorAll("td")[2]?.textContent?.replace("−", "-").trim()));
    const total = cells.slice(0, -1).reduce((sum, value) => sum + value, 0);
    expect(total).toBeCloseTo(cells.at(-1) ?? Number.NaN, 1);
  });

  it("leads to the import where there is no golden set", async () => {
    const { app } = start("#/endpoint/2/explain");
    await userEvent.click(await screen.findByTestId("rows-import"));
    expect(app.router.route).toEqual({ screen: "endpoint", id: 2, tab: "accuracy" });
    expect(await screen.findByTestId("golden-import")).toBeTruthy();
  });

  it("cancels a run", async () => {
    const { backend } = start("#/endpoint/1/explain", { explainMs: 60_000 });
    await waitFor(() => expect(screen.getByTestId<HTMLButtonElement>("explain-run").disabled).toBe(false));
    await userEvent.click(screen.getByTestId("explain-run"));
    await userEvent.click(await screen.findByTestId("explain-cancel"));
    await waitFor(() => expect(screen.getByTestId("explain-run")).toBeTruthy());
    expect(callsOf(backend, "explain_cancel")).toHaveLength(1);
  });

  it("asks the live model what a changed value would do, and explains the changed row by its cells", async () => {
    const { backend } = start("#/endpoint/1/explain");
    const cell = await screen.findByTestId("what-if-credit_amount");
    await userEvent.clear(cell);
    await userEvent.type(cell, "900");
    await waitFor(() => expect(screen.getByTestId("what-if-result").textContent).toMatch(/0\.\d+ → 0\.\d+\s+\(\+0\.\d+\)/));
    await userEvent.click(screen.getByTestId("explain-run"));
    await waitFor(() => expect(callsOf(backend, "explain_start")).toHaveLength(1));
    expect(callsOf(backend, "explain_start")[0]).toMatchObject({ index: null, cells: expect.arrayContaining(["900"]) });
  });
});
