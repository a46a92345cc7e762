import { render, screen } from "@testing-library/svelte";
import { describe as group, expect, it } from "vitest";
import { describe } from "../backend/fixture/describe";
import ModelDescription from "./ModelDescription.svelte";

group("the description of a model", () => {
  it("names the models in memory and where they lie", () => {
    render(ModelDescription, { model: describe("ollama", "mistral:latest") });
    const text = screen.getByTestId("models-in-memory").textContent.replaceAll(/\s+/g, " ");
    expect(text).toContain("mistral:latest");
    expect(text).toContain("all in GPU memory");
    expect(text).toContain("70 % in GPU memory");
    expect(text).toMatch(/unloaded in [34] min/);
    expect(screen.queryByText(/describes no inputs/)).toBeNull();
  });

  it("says when none is, and nothing where the server does not tell", () => {
    const { unmount } = render(ModelDescription, { model: { ...describe("ollama", "m"), loaded: [] } });
    expect(screen.getByTestId("models-in-memory").textContent).toContain("No model");
    unmount();
    render(ModelDescription, { model: describe("mlflow", "m") });
    expect(screen.queryByTestId("models-in-memory")).toBeNull();
    expect(screen.getByText(/describes no inputs/)).toBeTruthy();
  });
});
