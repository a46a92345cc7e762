import { screen } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";
import { start } from "../../test/render";
import { deploymentShape, deploymentWord } from "./deployment";

describe("what a cloud says of an endpoint", () => {
  it("shows every version with its share of the traffic", async () => {
    start("#/endpoint/7/health");
    const card = await screen.findByTestId("deployment");
    expect(screen.getByTestId("deployment-state").dataset.state).toBe("changing");
    expect(screen.getByTestId("deployment-state").textContent).toContain("Updating");
    expect(screen.getByTestId("deployed-v2").textContent).toContain("90 %");
    expect(screen.getByTestId("deployed-v1").textContent).toContain("10 %");
    expect(card.textContent).toContain("ranker-2026-11");
  });

  it("is left out where no cloud was asked", async () => {
    start("#/endpoint/1/health");
    await screen.findByTestId("facets");
    expect(screen.queryByTestId("deployment")).toBeNull();
  });

  it("keeps the cloud's own word, known or not", () => {
    expect(deploymentWord({ state: "serving", word: "InService" })).toBe("InService (serves)");
    expect(deploymentWord({ state: "failed", word: "Failed" })).toBe("Failed");
    expect(deploymentWord({ state: "unrecognised", word: "Pondering" })).toBe("Pondering");
    expect(deploymentWord({ state: "not_serving", word: "" })).toBe("Does not serve");
    expect([deploymentShape("changing"), deploymentShape("failed"), deploymentShape("other")]).toEqual(["busy", "bad", "unknown"]);
  });
});
