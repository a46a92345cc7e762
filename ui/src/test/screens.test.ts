/** Every screen renders on the fixture, is axe clean, and has its loading, error and stale states. */
import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { axeFindings, callsOf, start } from "./render";

describe("screens are axe clean", () => {
  const cases: [string, string, string][] = [
    ["fleet", "#/fleet", "fleet-row-credit-risk"],
    ["health", "#/endpoint/1/health", "chart-latency"],
    ["accuracy", "#/endpoint/1/accuracy", "chart-quality"],
    ["golden set import", "#/endpoint/2/accuracy", "golden-import"],
    ["explain", "#/endpoint/1/explain", "golden-rows"],
    ["versions", "#/endpoint/1/versions", "version-row-v6"],
    ["generation", "#/endpoint/8/health", "last-answer"],
    ["prompts", "#/endpoint/8/settings", "connect-prompts"],
    ["endpoint settings", "#/endpoint/1/settings", "settings-save"],
    ["connect", "#/connect", "connect-url"],
    ["timeline", "#/timeline", "timeline-list"],
    ["audit", "#/audit", "audit-list"],
    ["settings", "#/settings", "secret-scores-example-com-credential"],
  ];
  it.each(cases)("%s", async (_, hash, testid) => {
    start(hash);
    await screen.findByTestId(testid);
    expect(await axeFindings()).toEqual([]);
  });
  it("first run", async () => {
    start("#/fleet", { empty: true });
    await screen.findByTestId("demo-start");
    expect(await axeFindings()).toEqual([]);
  });
  it("rollback sheet", async () => {
    const { app } = start();
    await screen.findByTestId("fleet-row-credit-risk");
    app.rollBack(1);
    await screen.findByTestId("rollback-reason");
    expect(await axeFindings()).toEqual([]);
  });
  it("command palette", async () => {
    const { app } = start();
    await screen.findByTestId("fleet-row-credit-risk");
    app.paletteOpen = true;
    await screen.findByTestId("palette-input");
    expect(await axeFindings()).toEqual([]);
  });
});

describe("the fleet", () => {
  it("starts the demo fleet from the first run", async () => {
    start("#/fleet", { empty: true });
    await userEvent.click(await screen.findByTestId("demo-start"));
    expect(await screen.findByTestId("fleet-row-credit-risk")).toBeTruthy();
  });
  it("says state, quality and version of a row in words", async () => {
    start();
    const row = await screen.findByTestId("fleet-row-credit-risk");
    expect(screen.getByTestId("state-credit-risk").querySelector("[aria-label=Degraded]")).toBeTruthy();
    expect(screen.getByTestId("quality-value-credit-risk").textContent).toBe("0.712");
    expect(screen.getByTestId("version-credit-risk").textContent).toBe("v7");
    expect(row.textContent).toContain("worse beyond noise");
  });
  it("walks the heartbeat with the arrow keys", async () => {
    start();
    const row = await screen.findByTestId("fleet-row-fraud-scores");
    const slider = row.querySelector<SVGElement>("[role=slider]");
    slider?.focus();
    await userEvent.keyboard("{ArrowLeft}");
    expect(slider?.getAttribute("aria-valuetext")).toContain("connection refused");
    expect(slider?.getAttribute("aria-valuenow")).toBe("50");
  });
  it("injects a demo fault", async () => {
    const { backend } = start();
    await userEvent.selectOptions(await screen.findByTestId("demo-fault-wine"), "latency");
    expect(callsOf(backend, "demo_inject")).toEqual([{ model: "wine", fault: "latency" }]);
  });
  it("draws only what is in view of 1,000 rows", async () => {
    start("#/fleet", { large: 1000 });
    await waitFor(() => expect(document.querySelectorAll("[data-testid^=fleet-row-]").length).toBeGreaterThan(5));
    expect(document.querySelectorAll("[data-testid^=fleet-row-]").length).toBeLessThan(60);
  });
  it("shows a failure with its hint, and recovers on retry", async () => {
    const { backend } = start("#/fleet", { failing: new Set(["fleet"]) });
    expect((await screen.findByTestId("error-panel")).textContent).toContain("Wait a moment, then retry.");
    backend.options.failing = new Set();
    await userEvent.click(screen.getByText("Retry"));
    expect(await screen.findByTestId("fleet-row-credit-risk")).toBeTruthy();
  });
  it("keeps the rows and says how old they are when a refresh fails", async () => {
    const { backend } = start();
    await screen.findByTestId("fleet-row-credit-risk");
    backend.options.failing = new Set(["fleet"]);
    backend.stale(["fleet"]);
    expect((await screen.findByTestId("stale-note")).textContent).toMatch(/Showing data of \d\d:\d\d:\d\d/);
    expect(screen.getByTestId("fleet-row-credit-risk")).toBeTruthy();
  });
});

describe("the command palette", () => {
  it("opens with Ctrl-K and runs what is chosen by keyboard", async () => {
    const { app } = start();
    await screen.findByTestId("fleet-row-credit-risk");
    await userEvent.keyboard("{Control>}k{/Control}");
    await userEvent.type(await screen.findByTestId("palette-input"), "explain credit{Enter}");
    await waitFor(() => expect(app.router.route).toEqual({ screen: "endpoint", id: 1, tab: "explain" }));
  });
});

describe("charts", () => {
  it("are images, have a table, and are asked for in the theme's colours and the user's zone", async () => {
    const { backend } = start("#/endpoint/1/health");
    const chart = await screen.findByTestId("chart-latency");
    await waitFor(() => expect(chart.querySelector("img")?.src).toContain("blob:"));
    expect(callsOf(backend, "chart")[0]).toMatchObject({ id: 1, format: "svg", time_zone: expect.any(String), theme: { background: null } });
    await userEvent.click(screen.getByLabelText("Show Latency as table"));
    await waitFor(() => expect(chart.querySelectorAll("tbody tr").length).toBeGreaterThan(50));
  });
  it("move the crosshair with the arrow keys", async () => {
    start("#/endpoint/1/health");
    const slider = await screen.findByLabelText("Latency: values over time");
    slider.focus();
    await userEvent.keyboard("{Home}{ArrowRight}");
    expect(slider.getAttribute("aria-valuenow")).toBe("1");
    expect(slider.getAttribute("aria-valuetext")).toMatch(/p95 \d+ ms/);
  });
});

describe("settings", () => {
  it("keeps the theme", async () => {
    const { backend, app } = start("#/settings");
    await userEvent.click(await screen.findByTestId("theme-light"));
    await waitFor(() => expect(callsOf(backend, "settings_set")).toHaveLength(1));
    expect(app.theme).toBe("light");
    expect(document.documentElement.dataset.theme).toBe("light");
  });
  it("does not undo what was saved elsewhere since the settings were loaded", async () => {
    const { backend } = start("#/endpoint/1/settings");
    await userEvent.type(await screen.findByTestId("connect-name"), "-mine");
    const { draft, revision } = await backend.call("endpoint", { id: 1 });
    await backend.call("endpoint_update", { id: 1, revision, draft: { ...draft, environment: "staging" } });
    await userEvent.click(screen.getByTestId("settings-save"));
    await userEvent.click(await screen.findByTestId("settings-load"));
    await waitFor(() => expect(screen.queryByTestId("settings-overtaken")).toBeNull());
    const name = screen.getByTestId<HTMLInputElement>("connect-name");
    expect(name.value).toBe("credit-risk");
    await userEvent.type(name, "-2");
    await userEvent.click(screen.getByTestId("settings-save"));
    await waitFor(async () => expect((await backend.call("endpoint", { id: 1 })).draft).toMatchObject({ name: "credit-risk-2", environment: "staging" }));
  });
  it("shows what a configuration would change before it is applied", async () => {
    const { backend } = start("#/settings");
    const choose = async (text: string): Promise<void> => {
      // jsdom has no Blob.text().
      const file = Object.assign(new File([text], "fleet.toml"), { text: () => Promise.resolve(text) });
      await userEvent.upload(await screen.findByTestId("config-files"), file);
    };
    await choose('[[endpoint]]\ncolour = "red"\n');
    expect((await screen.findByTestId("config-problems")).textContent).toMatch(/fleet\.toml:2:1.*endpoint\.colour.*unknown key/);
    expect(screen.queryByTestId("config-apply")).toBeNull();
    await choose("# another fleet");
    expect((await screen.findByTestId("config-diff")).textContent).toMatch(/probe\.interval_ms.*15000.*30000/);
    expect(screen.getByTestId("config-apply").textContent).toMatch(/^\s*Apply\s*$/);
    await userEvent.click(screen.getByTestId("config-prune"));
    expect(screen.getByTestId("config-apply").textContent).toContain("Apply and remove 1 endpoint");
    expect(callsOf(backend, "config_apply")).toHaveLength(0);
    await userEvent.click(screen.getByTestId("config-apply"));
    await waitFor(() => expect(callsOf(backend, "config_apply")).toMatchObject([{ prune: true, files: [{ path: "fleet.toml" }] }]));
    await waitFor(() => expect(screen.queryByTestId("config-diff")).toBeNull());
  });
  it("writes the set-up out as text", async () => {
    start("#/settings");
    await userEvent.click(await screen.findByTestId("config-export"));
    expect((await screen.findByTestId<HTMLTextAreaElement>("config-text")).value).toContain("[[endpoint]]");
  });
  it("removes an endpoint only with its name typed", async () => {
    const { backend, app } = start("#/endpoint/5/settings");
    await userEvent.click(await screen.findByTestId("remove-open"));
    const remove = screen.getByTestId<HTMLButtonElement>("remove-apply");
    expect(remove.disabled).toBe(true);
    await userEvent.type(screen.getByTestId("remove-confirm-name"), "wine");
    await userEvent.click(remove);
    await waitFor(() => expect(app.router.route.screen).toBe("fleet"));
    expect(callsOf(backend, "endpoint_remove")).toEqual([{ id: 5, confirm: "wine" }]);
  });
});
