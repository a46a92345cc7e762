import { render, screen } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";
import type { PredictionResult } from "../../backend/gen/types";
import Predicted from "./Predicted.svelte";

describe("what was predicted", () => {
  const shown = (prediction: Partial<PredictionResult>): HTMLElement => {
    const rows = prediction.rows ?? [];
    const whole = { row_count: rows.length, output_count: Math.max(0, ...rows.map((row) => row.length)), names: [], output: null, ...prediction, rows };
    render(Predicted, { prediction: whole });
    return screen.getByTestId("probe-prediction");
  };

  it("is one line of numbers where each row has one", () => {
    const element = shown({ rows: [[1], [0.123456], [null]], row_count: 1200, output: "predict" });
    expect(screen.getAllByRole("listitem").map((item) => item.textContent)).toEqual(["1", "0.1235", "nothing"]);
    expect(element.textContent).toContain("predict");
    expect(element.textContent).toContain("and 1,197 more rows");
    expect(screen.queryByRole("table")).toBeNull();
  });

  it("is a table with what names the values", () => {
    const element = shown({ rows: [["tiger <b>", 0.5], ["cat", 0.25]], names: ["label", "score"], output_count: 3 });
    expect(screen.getAllByRole("cell").map((cell) => cell.textContent)).toEqual(["tiger <b>", "0.5000", "cat", "0.2500"]);
    expect(screen.getByRole("columnheader", { name: "score" })).toBeTruthy();
    expect(element.textContent).toContain("1 more value per row");
  });

  it("says when nothing came", () => {
    expect(shown({}).textContent).toContain("No rows came back");
  });
});
