import { screen, waitFor, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import type { TensorField } from "../../backend/gen/types";
import { callsOf, start } from "../../test/render";
import { fieldsOf, kindOf, problemOf, rowText, typedFrom } from "./rows";

const input = (name: string, datatype: string, shape: number[], optional = false): TensorField => ({ name, datatype, shape, optional });

describe("a form for one row", () => {
  it.each([
    ["INT64", "integer"], ["UINT8", "integer"], ["long", "integer"],
    ["FP32", "number"], ["BF16", "number"], ["double", "number"],
    ["BOOL", "boolean"], ["BYTES", "text"], ["DATETIME", "text"], ["", "text"],
  ])("%s is a %s", (datatype, kind) => expect(kindOf(datatype)).toBe(kind));

  it("has a field per input, or per value of a matrix", () => {
    const names = (inputs: TensorField[]) => fieldsOf(inputs)?.map((field) => field.name) ?? null;
    expect(names([input("age", "INT64", [-1, 1]), input("job", "BYTES", [-1])])).toEqual(["age", "job"]);
    expect(names([input("x", "FP32", [-1, 3])])).toEqual(["x1", "x2", "x3"]);
    expect(names([input("x", "FP32", [])])).toEqual(["x"]);
    expect(names([input("x", "FP32", [-1, 41])])).toBeNull();
    expect(names([input("image", "UINT8", [-1, -1, 3])])).toBeNull();
    expect(names([input("a", "FP32", [-1]), input("b", "FP32", [-1, 4])])).toBeNull();
    expect(names([input("a", "FP32", [-1]), input("a", "FP32", [-1])])).toBeNull();
    expect(names([])).toBeNull();
  });

  it("says what does not fit, and gives nothing until all does", () => {
    const fields = fieldsOf([input("n", "INT32", [-1]), input("x", "FP64", [-1]), input("ok", "BOOL", [-1]), input("job", "BYTES", [-1]), input("note", "BYTES", [-1], true)]) ?? [];
    const field = (name: string) => fields.find((candidate) => candidate.name === name) ?? (() => { throw new Error(name); })();
    expect(problemOf(field("n"), "1.5")).toBe("takes a whole number");
    expect(problemOf(field("n"), " 7 ")).toBeNull();
    expect(problemOf(field("x"), "1e3")).toBeNull();
    expect(problemOf(field("x"), "many")).toBe("takes a number");
    expect(problemOf(field("ok"), "yes")).toBe("takes true or false");
    expect(problemOf(field("job"), "")).toBe("needs a value");
    expect(problemOf(field("note"), "")).toBeNull();
    const typed = { n: "7", x: "1.5", ok: "true", job: "12" };
    expect(rowText(fields, typed)).toBe('[{"n":7,"x":1.5,"ok":1,"job":"12"}]');
    expect(rowText(fields, { ...typed, n: "x" })).toBeNull();
    expect(typedFrom(fields, rowText(fields, typed))).toEqual({ n: "7", x: "1.5", ok: "1", job: "12" });
  });

  it("is not made of rows that are none of its own", () => {
    const fields = fieldsOf([input("a", "FP32", [-1])]) ?? [];
    for (const rows of ["a\n1\n2\n", '[{"a":1},{"a":2}]', '[{"b":1}]', "[1]"]) expect(typedFrom(fields, rows)).toBeNull();
    expect(typedFrom(fields, null)).toEqual({});
  });

  it("is filled in while connecting and sent with the draft", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "127.0.0.1:8080");
    await userEvent.click(screen.getByTestId("connect-detect"));
    await userEvent.type(await screen.findByTestId("row-duration_months"), "a year");
    expect(screen.getByText("takes a whole number")).toBeTruthy();
    expect(screen.getByTestId("row-state").textContent).toContain("6 of 6 fields");
    await userEvent.clear(screen.getByTestId("row-duration_months"));
    for (const [name, text] of [["duration_months", "12"], ["amount", "1200.5"], ["age", "34"], ["purpose", "car"], ["housing", "own"]]) {
      await userEvent.type(screen.getByTestId(`row-${name}`), text ?? "");
    }
    await userEvent.selectOptions(screen.getByTestId("row-has_phone"), "1");
    await waitFor(() => expect(screen.getByTestId("row-state").textContent).toContain("sends this row"));
    await userEvent.click(screen.getByTestId("connect-test"));
    const outcome = await screen.findByTestId("probe-outcome");
    expect(within(outcome).getByRole("columnheader", { name: "good" })).toBeTruthy();
    expect(within(outcome).getAllByRole("cell").map((cell) => cell.textContent)).toEqual(["0.2817", "0.7183"]);
    expect(callsOf(backend, "connect_test")[0]).toMatchObject({
      draft: { probe_rows: '[{"duration_months":12,"amount":1200.5,"age":34,"purpose":"car","housing":"own","has_phone":1}]' },
    });
  });
});
