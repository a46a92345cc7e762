import { screen } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";
import { start } from "../../test/render";

describe("health by its facets", () => {
  it("shows a server that calls itself well while predictions fail as exactly that", async () => {
    const { backend } = start("#/endpoint/2/health");
    const predicts = await screen.findByTestId("facet-predicts");
    expect(backend.calls.some((call) => call.name === "endpoint")).toBe(true);
    expect([screen.getByTestId("facet-live").dataset.state, screen.getByTestId("facet-ready").dataset.state, predicts.dataset.state]).toEqual(["ok", "ok", "failed"]);
    expect(predicts.textContent).toContain("the model is broken");
    expect(screen.getByTestId("facets-contradict").textContent).toContain("calls itself well while its predictions fail");
  });

  it("shows what the server says about its model", async () => {
    start("#/endpoint/1/health");
    const card = await screen.findByTestId("model-card");
    await screen.findByText("mlserver 1.7.1");
    expect(card.textContent).toContain("duration_months");
    expect(screen.queryByTestId("facets-contradict")).toBeNull();
  });
});
