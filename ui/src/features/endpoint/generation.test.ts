import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { callsOf, start } from "../../test/render";
import { applyDetection, checkOfKind, emptyDraft, emptyPrompts, withProtocol } from "../connect/draft";

const CHAT = "#/endpoint/8";

describe("an endpoint that generates text", () => {
  it("shows its last answer as text, with its checks", async () => {
    start(`${CHAT}/health`);
    const said = await screen.findByTestId("last-answer");
    expect(said.textContent).toContain("<b>Not a tag.</b>");
    expect(said.querySelector("b")).toBeNull();
    const section = screen.getByTestId("generation");
    expect(section.textContent).toContain("The answer contains “18”");
    expect(section.textContent).toContain("41.8 tokens/s");
    expect(section.textContent).toContain("When do you close today?");
  });

  it("says in the tabs for rows that they do not apply", async () => {
    const { backend } = start(`${CHAT}/accuracy`);
    expect((await screen.findByTestId("empty-state")).textContent).toContain("do not apply");
    await userEvent.click(screen.getByTestId("tab-explain"));
    await waitFor(() => expect(screen.getByTestId("empty-state").textContent).toContain("Shapley"));
    expect(callsOf(backend, "golden_rows")).toHaveLength(0);
    expect(callsOf(backend, "explain_cost")).toHaveLength(0);
  });

  it("has no such section for models that predict", async () => {
    start("#/endpoint/1/health");
    await screen.findByText("Where the time goes");
    expect(screen.queryByTestId("generation")).toBeNull();
  });
});

describe("prompts of a draft", () => {
  it("come with a protocol that takes them and go with it", () => {
    const chat = withProtocol({ ...emptyDraft("http://h:8000"), golden_set: "loans", probe_rows: "[]" }, "openai");
    expect(chat).toMatchObject({ prompts: emptyPrompts(), golden_set: null, probe_rows: null });
    expect(withProtocol(chat, "v2").prompts).toBeNull();
    const found = { protocol: "ollama", models: [{ name: "llama3.2:1b", versions: [], ready: true }] } as unknown as Parameters<typeof applyDetection>[1];
    expect(applyDetection(emptyDraft(), found)).toMatchObject({ protocol: "ollama", model: "llama3.2:1b", prompts: { max_tokens: 16 } });
  });

  it("keep what was typed when the kind of a check changes", () => {
    expect(checkOfKind("json", "city, country,")).toEqual({ kind: "json", required_keys: ["city", "country"] });
    expect(checkOfKind("regex", "a+")).toEqual({ kind: "regex", pattern: "a+" });
  });
});
