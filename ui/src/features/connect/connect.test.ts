import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { axeFindings, callsOf, start } from "../../test/render";
import { detection } from "../../backend/fixture/detect";
import { applyDetection, authOfHint, draftsOf, emptyDraft, normaliseUrl, secretName } from "./draft";

const MARKER = "marker-7f3a-never-kept";

/** Every string reachable from a value, to look for one that must not be there. */
function reachable(value: unknown, seen = new Set<unknown>()): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null || seen.has(value) || value instanceof Node) return [];
  seen.add(value);
  const inside = value instanceof Map || value instanceof Set ? [...value].flat() : Object.values(value);
  return inside.flatMap((entry) => reachable(entry, seen));
}

describe("connecting", () => {
  it("detects, tests and saves", async () => {
    const { backend, app } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "127.0.0.1:8080");
    await userEvent.click(screen.getByTestId("connect-detect"));
    expect((await screen.findByTestId("connect-found")).textContent).toContain("mlserver 1.7.1");
    expect(callsOf(backend, "detect")[0]).toMatchObject({ url: "http://127.0.0.1:8080" });
    await userEvent.click(screen.getByTestId("connect-test"));
    expect((await screen.findByTestId("probe-outcome")).textContent).toContain("Answered in 32 ms");
    expect(callsOf(backend, "endpoint_add")).toHaveLength(0);
    await userEvent.click(screen.getByTestId("connect-save"));
    await waitFor(() => expect(app.router.route.screen).toBe("endpoint"));
    expect(callsOf(backend, "endpoint_add")[0]).toMatchObject({ draft: { name: "iris", protocol: "v2", model: "iris", url: "http://127.0.0.1:8080" } });
  });

  it("speaks gRPC to an address of gRPC, and sends no rows to a health service", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "grpc://127.0.0.1:8001");
    await userEvent.click(screen.getByTestId("connect-detect"));
    expect((await screen.findByTestId("connect-found")).textContent).toContain("Open Inference V2 over gRPC");
    expect(screen.getByTestId("connect-golden")).toBeInstanceOf(HTMLSelectElement);
    await userEvent.selectOptions(screen.getByTestId("connect-protocol"), "grpc_health");
    expect(screen.queryByTestId("connect-golden")).toBeNull();
    expect(screen.getByTestId<HTMLInputElement>("connect-model").placeholder).toBe("The server as a whole");
    await userEvent.click(screen.getByTestId("connect-save"));
    await waitFor(() => expect(callsOf(backend, "endpoint_add")[0]).toMatchObject({ draft: { url: "grpc://127.0.0.1:8001", protocol: "grpc_health", probe_rows: null, golden_set: null } }));
  });

  it("offers every kind of credential, each with its own fields", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://models.private.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    const kind = await screen.findByTestId<HTMLSelectElement>("connect-secret-kind");
    await userEvent.selectOptions(kind, "oauth2");
    await userEvent.type(screen.getByTestId("connect-secret-token-url"), "https://sso.example/token");
    await userEvent.click(screen.getByTestId("connect-detect"));
    const secret = "models-private-example-credential";
    await waitFor(() => expect(callsOf(backend, "detect").at(-1)).toMatchObject({ auth: { kind: "oauth2", token_url: "https://sso.example/token", secret } }));
    await userEvent.selectOptions(kind, "aws_sigv4");
    await userEvent.type(screen.getByTestId("connect-secret-region"), "eu-west-1");
    await userEvent.selectOptions(screen.getByTestId("connect-secret-source"), "environment");
    await userEvent.click(screen.getByTestId("connect-detect"));
    await waitFor(() =>
      expect(callsOf(backend, "detect").at(-1)).toMatchObject({ auth: { kind: "aws_sigv4", region: "eu-west-1", service: "sagemaker", source: { from: "environment" }, assume_role: null } }),
    );
  });

  it("asks for the key of a client certificate, and sends both by name", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://models.private.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    expect(screen.queryByTestId("connect-client-key-value")).toBeNull();
    await userEvent.type(await screen.findByTestId("connect-client-certificate"), "/etc/ssl/client.pem");
    expect(await screen.findByTestId("connect-client-key-value")).toBeInstanceOf(HTMLTextAreaElement);
    await userEvent.click(screen.getByTestId("connect-detect"));
    const expected = { client_certificate_file: "/etc/ssl/client.pem", client_key_secret: "models-private-example-key" };
    await waitFor(() => expect(callsOf(backend, "detect").at(-1)).toMatchObject(expected));
  });

  it("hands a secret to the keyring and keeps it nowhere", async () => {
    const { backend, app } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://models.private.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    const input = await screen.findByTestId<HTMLInputElement>("connect-secret-value");
    await userEvent.type(input, MARKER);
    await userEvent.click(screen.getByTestId("connect-secret-store"));
    expect((await screen.findByTestId("connect-secret-state")).textContent).toBe("Stored in keyring");
    expect(callsOf(backend, "secret_set")).toEqual([{ name: "models-private-example-credential", value: MARKER }]);
    expect(input.value).toBe("");
    expect(screen.queryByTestId("connect-secret-value")).toBeNull();
    expect(document.documentElement.outerHTML).not.toContain(MARKER);
    expect(reachable(app.cache).join("\n")).not.toContain(MARKER);
    // Nothing else that goes out carries it.
    expect(JSON.stringify(backend.calls.filter((call) => call.name !== "secret_set"))).not.toContain(MARKER);
    // Detection went on by itself with the stored credential.
    await waitFor(() => expect(screen.getByTestId("connect-found").textContent).toContain("mlserver"));
  });

  it("reaches an endpoint through a jump host whose key was shown and trusted", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "http://10.1.2.3:8080");
    await userEvent.click(screen.getByTestId("connect-detect"));
    await screen.findByTestId("connect-found");
    await userEvent.selectOptions(screen.getByTestId("connect-network-kind"), "ssh");
    await userEvent.type(screen.getByTestId("connect-network-host"), "jump.example.com");
    await userEvent.type(screen.getByTestId("connect-network-user"), "ann");
    await userEvent.click(screen.getByTestId("connect-network-fetch"));
    expect((await screen.findByTestId("connect-network-seen")).dataset["standing"]).toBe("unknown");
    expect(callsOf(backend, "ssh_host_key")).toEqual([{ host: "jump.example.com", port: 22 }]);
    await userEvent.click(screen.getByTestId("connect-network-pin"));
    expect(screen.getByTestId<HTMLInputElement>("connect-network-host-key").value).toMatch(/^SHA256:/);
    expect(await axeFindings()).toEqual([]);
    await userEvent.click(screen.getByTestId("connect-test"));
    await screen.findByTestId("probe-outcome");
    expect(callsOf(backend, "connect_test")[0]).toMatchObject({ draft: { network: { kind: "ssh", host: "jump.example.com", user: "ann", auth: { kind: "agent" } } } });
  });

  it("empties the field even when the keyring refuses", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://models.private.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    const input = await screen.findByTestId<HTMLInputElement>("connect-secret-value");
    backend.options.failing = new Set(["secret_set"]);
    await userEvent.type(input, MARKER);
    await userEvent.click(screen.getByTestId("connect-secret-store"));
    await screen.findByTestId("error-panel");
    expect(input.value).toBe("");
  });

  it("watches many models of one server at once", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://many.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    const list = await screen.findByTestId("connect-models");
    // A thousand rows are not drawn: the list shows the part that is in view.
    expect(list.querySelectorAll("input[type=checkbox]").length).toBeLessThan(40);
    await userEvent.type(screen.getByTestId("connect-models-filter"), "model-99");
    await userEvent.click(screen.getByTestId("connect-models-all"));
    await userEvent.click(screen.getByTestId("connect-models-add"));
    expect((await screen.findByTestId("connect-added")).textContent).toContain("10 endpoints connected");
    const [request] = callsOf(backend, "endpoints_add") as [{ drafts: { name: string }[] }];
    expect(request.drafts.map((draft) => draft.name)).toEqual(Array.from({ length: 10 }, (_, i) => `model-99${i}`));
  });

  it("asks for the authority of an unknown certificate", async () => {
    const { backend } = start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "https://models.certificate.example");
    await userEvent.click(screen.getByTestId("connect-detect"));
    expect((await screen.findByTestId("connect-need-ca_file")).textContent).toContain("issuer is unknown");
    await userEvent.type(screen.getByTestId("connect-ca-file"), "/etc/ssl/company.pem");
    await userEvent.click(screen.getByTestId("connect-detect"));
    await waitFor(() => expect(callsOf(backend, "detect")).toHaveLength(2));
    expect(callsOf(backend, "detect")[1]).toMatchObject({ ca_file: "/etc/ssl/company.pem" });
  });

  it("says what went wrong and what to do", async () => {
    start("#/connect");
    await userEvent.type(screen.getByTestId("connect-url"), "refused:9");
    await userEvent.click(screen.getByTestId("connect-detect"));
    expect((await screen.findByTestId("error-panel")).textContent).toContain("Check the port");
  });
});

describe("importing", () => {
  it("shows what was understood, and connects after that", async () => {
    const { backend } = start("#/connect");
    await userEvent.click(screen.getByTestId("connect-import"));
    await userEvent.click(screen.getByTestId("import-text"));
    await userEvent.paste(`curl -k -H 'Authorization: Bearer ${MARKER}' https://models.example.com/predict -d '[[1]]'\ncurl https://refused.example.com/`);
    await userEvent.click(screen.getByTestId("import-read"));
    const view = await screen.findByTestId("import-view");
    expect(view.textContent).toContain("curl command: 2 endpoints");
    expect(view.textContent).toContain("-k was left out");
    expect(view.textContent).not.toContain(MARKER);
    expect(callsOf(backend, "import_apply")).toHaveLength(0);
    await userEvent.click(screen.getByTestId("import-apply"));
    const summary = (await screen.findByTestId("connect-added")).textContent;
    expect(summary).toContain("1 endpoint connected");
    expect(summary).toContain("1 endpoint refused");
    // The text with its secret has served and is gone.
    expect(screen.getByTestId<HTMLTextAreaElement>("import-text").value).toBe("");
    expect(callsOf(backend, "import_apply")[0]).toMatchObject({ environment: "production", items: [{ index: 0, store_secret: true }, { index: 1 }] });
  });

  it("lists the contexts of a kubeconfig and breaks no rule of axe", async () => {
    start("#/connect");
    await userEvent.click(screen.getByTestId("connect-import"));
    const text = "contexts: []\nclusters: []";
    // The test's DOM has files without their text.
    const file = Object.assign(new File([text], "config"), { text: () => Promise.resolve(text) });
    await userEvent.upload(screen.getByTestId("import-file"), file);
    expect((await screen.findByTestId("import-view")).textContent).toContain("production-eu");
    expect(await axeFindings()).toEqual([]);
  });
});

describe("discovering", () => {
  it("lists what an engine holds, and connects what was chosen", async () => {
    const { backend } = start("#/connect");
    await userEvent.click(screen.getByTestId("connect-discover"));
    await userEvent.click(screen.getByTestId("discover-docker"));
    await waitFor(() => expect(screen.getByTestId<HTMLButtonElement>("discover-look").disabled).toBe(false));
    await userEvent.click(screen.getByTestId("discover-look"));
    const view = await screen.findByTestId("discover-view");
    expect(view.textContent).toContain("3 endpoints");
    expect(view.textContent).toContain("port 8000 is not published");
    expect(screen.getByLabelText<HTMLInputElement>("Connect triton-dev").disabled).toBe(true);
    expect(await axeFindings()).toEqual([]);
    await userEvent.click(screen.getByLabelText("Connect llm"));
    await userEvent.click(screen.getByTestId("discover-add"));
    expect((await screen.findByTestId("connect-added")).textContent).toContain("1 endpoint connected");
    expect(callsOf(backend, "discover_add")).toEqual([{ environment: "production", items: [{ name: "churn", url: "http://127.0.0.1:18080/", network: { kind: "system" }, protocol: "v2", model: null, image: { name: "seldonio/mlserver:1.7.1", version: "1.7.1" } }] }]);
  });

  it("runs a kubeconfig's command only when agreed to", async () => {
    const { backend } = start("#/connect");
    await userEvent.click(screen.getByTestId("connect-discover"));
    await userEvent.selectOptions(await screen.findByTestId("discover-context"), "production-eu");
    expect(screen.getByTestId("discover-plugin").textContent).toContain("aws eks get-token");
    expect(screen.getByTestId<HTMLButtonElement>("discover-look").disabled).toBe(true);
    await userEvent.click(screen.getByTestId("discover-agree"));
    await userEvent.click(screen.getByTestId("discover-look"));
    expect((await screen.findByTestId("discover-view")).textContent).toContain("credit-risk");
    expect(callsOf(backend, "discover")[0]).toMatchObject({ place: { kind: "kubernetes", context: "production-eu", run_plugin: true } });
    // What is inside of the cluster is reached by a forwarded port.
    expect(screen.getByLabelText<HTMLInputElement>("Connect embeddings").checked).toBe(true);
    await userEvent.selectOptions(screen.getByLabelText("Way to credit-risk"), "1");
    await userEvent.click(screen.getByTestId("discover-add"));
    const network = { kind: "kubernetes", context: "production-eu" };
    await waitFor(() => expect(callsOf(backend, "discover_add")[0]).toMatchObject({ items: [{ name: "credit-risk", url: "http://credit-risk-predictor.models.svc.cluster.local/", network }, { name: "embeddings", network }] }));
    // Another context asks anew.
    await userEvent.selectOptions(screen.getByTestId("discover-context"), "old");
    expect(screen.queryByTestId("discover-view")).toBeNull();
    expect(screen.getByTestId("discover-problem").textContent).toContain("insecure-skip-tls-verify");
    expect(await axeFindings()).toEqual([]);
  });

  it("begins with the context of an imported kubeconfig", async () => {
    start("#/connect");
    await userEvent.click(screen.getByTestId("connect-import"));
    await userEvent.click(screen.getByTestId("import-text"));
    await userEvent.paste("contexts: one");
    await userEvent.click(screen.getByTestId("import-read"));
    await userEvent.click((await screen.findAllByTestId("import-discover"))[0] as HTMLElement);
    expect((await screen.findByTestId<HTMLSelectElement>("discover-context")).value).toBe("production-eu");
  });
});

describe("drafts", () => {
  it.each([
    ["localhost:8080", "http://localhost:8080"],
    ["127.0.0.1", "http://127.0.0.1"],
    ["models.example.com/a", "https://models.example.com/a"],
    [" http://x/ ", "http://x/"],
    ["", ""],
  ])("%j becomes %j", (typed, url) => expect(normaliseUrl(typed)).toBe(url));
  it("names secrets after the host without odd characters", () => {
    expect(secretName("https://Models.Example.com:8443/a")).toBe("models-example-com-8443-credential");
    expect(secretName("not a url")).toBe("endpoint-credential");
  });
  it("keeps what the person chose when detection finds more", () => {
    const found = detection("http://x/", true);
    expect(applyDetection({ ...emptyDraft(), model: "sentiment", name: "mine" }, found)).toMatchObject({ model: "sentiment", name: "mine", json: null, url: "http://x/" });
    expect(applyDetection(emptyDraft(), { ...found, protocol: null, models: [] })).toMatchObject({ protocol: "json", json: { path: "/predict" } });
  });
  it("takes the request from the server's own description", () => {
    const draft = applyDetection(emptyDraft(), detection("http://fastapi/", true));
    expect(draft).toMatchObject({ protocol: "json", model: null, name: "risk", json: { path: "/predict", body: '{"instances":"{{rows}}"}', prediction: "/predictions", version: "/model_version" } });
  });
  it("makes one draft for each model chosen", () => {
    const found = detection("http://many/", true);
    const common = { ...emptyDraft("http://many/"), environment: "staging", interval_ms: 60_000, golden_set: "x" };
    const drafts = draftsOf(common, found, ["model-003", "model-999"]);
    expect(drafts.map(({ name, model, environment, interval_ms, golden_set }) => ({ name, model, environment, interval_ms, golden_set }))).toEqual([
      { name: "model-003", model: "model-003", environment: "staging", interval_ms: 60_000, golden_set: null },
      { name: "model-999", model: "model-999", environment: "staging", interval_ms: 60_000, golden_set: null },
    ]);
  });
  it("fills in the credential that is asked for", () => {
    expect(authOfHint({ kind: "header", name: "X-API-Key" }, { kind: "none" }, "n")).toEqual({ kind: "header", name: "X-API-Key", secret: "n" });
    expect(authOfHint({ kind: "basic" }, { kind: "none" }, "n")).toEqual({ kind: "basic", username: "", secret: "n" });
    expect(authOfHint({ kind: "bearer" }, { kind: "none" }, "n")).toEqual({ kind: "bearer", secret: "n" });
  });
});
