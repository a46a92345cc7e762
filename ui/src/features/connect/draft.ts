/** A new endpoint before it is saved, and what can be guessed for it. */
import type { AnswerCheckDraft, AuthDraft, AwsSourceDraft, ControlPlaneDraft, CredentialHint, DetectedModel, Detection, EndpointDraft, JsonDraft, MetricsDraft, MetricsFindResult, NetworkDraft, PromptDraft, PromptSetDraft, SshAuthDraft } from "../../backend/gen/types";

/** A draft with the defaults of the engine. */
export function emptyDraft(url = ""): EndpointDraft {
  return {
    name: "",
    environment: "production",
    url,
    protocol: "v2",
    model: null,
    model_version: null,
    management_url: null,
    management_auth: null,
    payload: "auto",
    interval_ms: 15_000,
    degraded_above_ms: null,
    confirm_after: 2,
    recover_after: 2,
    total_timeout_ms: 10_000,
    auth: { kind: "none" },
    ca_file: null,
    client_certificate_file: null,
    client_key_secret: null,
    network: { kind: "system" },
    json: null,
    probe_rows: null,
    prompts: null,
    control_plane: null,
    metrics: null,
    golden_set: null,
    evaluation_interval_ms: 300_000,
  };
}

/** A template to start from, for plain JSON endpoints. */
export const emptyJson = (): JsonDraft => ({ path: "/predict", body: '{"instances": "{{records}}"}', prediction: "/predictions", version: null, live: null, ready: null });

/** A prompt to start from: short, and its answer is known. */
export const emptyPrompt = (): PromptDraft => ({ messages: [{ role: "user", content: "Reply with the single word: ready" }], checks: [] });

/** Prompts to start from. */
export const emptyPrompts = (): PromptSetDraft => ({ route: "chat", stream: true, max_tokens: 16, prompts: [emptyPrompt()] });

/** A check of this kind with what was typed so far. */
export function checkOfKind(kind: AnswerCheckDraft["kind"], text: string): AnswerCheckDraft {
  switch (kind) {
    case "contains":
    case "exact":
      return { kind, text };
    case "regex":
      return { kind, pattern: text };
    case "json":
      return { kind, required_keys: text.split(",").map((key) => key.trim()).filter(Boolean) };
  }
}

/** Protocols whose servers hold models by name. */
export const NAMES_MODELS: ReadonlySet<string> = new Set(["v2", "v2_grpc", "v1", "torchserve", "sagemaker", "databricks"]);

/** Endpoints in a cloud: they have a name there, and divide their traffic among several versions. */
export const CLOUDS: ReadonlySet<string> = new Set(["sagemaker", "azureml", "vertex", "databricks"]);

/** What a cloud calls the version that a request can be addressed to; Vertex AI offers no such thing. */
export const VERSION_LABEL: Record<string, string> = {
  v2: "Version to call",
  v2_grpc: "Version to call",
  v1: "Version or label to call",
  torchserve: "Version to call",
  sagemaker: "Production variant to call",
  azureml: "Deployment to call",
  databricks: "Served entity to call",
};

/** Protocols of servers that generate text: they are sent prompts and no rows. */
export const GENERATES_TEXT: ReadonlySet<string> = new Set(["openai", "ollama"]);

/** Protocols that tell of a server's health and predict nothing. */
export const HEALTH_ALONE: ReadonlySet<string> = new Set(["grpc_health"]);

/** Protocols that are sent no rows, and so have neither golden sets nor explanations. */
export const TAKES_NO_ROWS: ReadonlySet<string> = new Set([...GENERATES_TEXT, ...HEALTH_ALONE]);

/** The forms in which a protocol takes rows, the usual one first; absent where there is one form only. */
export const PAYLOADS: Record<string, [string, string][]> = {
  mlflow: [
    ["auto", "Automatic (dataframe_split)"],
    ["dataframe_split", "dataframe_split"],
    ["dataframe_records", "dataframe_records"],
    ["inputs", "inputs, by column"],
    ["instances", "instances, by row"],
  ],
  v1: [
    ["auto", "Automatic (instances)"],
    ["instances", "instances, by row with names"],
    ["inputs", "inputs, by column"],
  ],
  sagemaker: [
    ["auto", "Automatic (CSV)"],
    ["csv", "CSV without a heading line"],
    ["instances", "instances, by row"],
    ["inputs", "inputs, by column"],
    ["dataframe_split", "dataframe_split"],
    ["dataframe_records", "dataframe_records"],
  ],
  azureml: [
    ["auto", "Automatic (input_data)"],
    ["input_data", "input_data, for MLflow models"],
    ["data", "data, a list of lists"],
    ["instances", "instances, by row"],
    ["inputs", "inputs, by column"],
    ["dataframe_split", "dataframe_split"],
    ["dataframe_records", "dataframe_records"],
  ],
  vertex: [
    ["auto", "Automatic (instances)"],
    ["instances", "instances, by row with names"],
  ],
  databricks: [
    ["auto", "Automatic (dataframe_split)"],
    ["dataframe_split", "dataframe_split"],
    ["dataframe_records", "dataframe_records"],
    ["inputs", "inputs, by column"],
    ["instances", "instances, by row"],
  ],
};

/** Where a cloud describes its endpoints, when nothing else is said. */
export const MANAGEMENT_PLACEHOLDER: Record<string, string> = {
  sagemaker: "api.sagemaker.REGION.amazonaws.com, beside the runtime",
  azureml: "https://management.azure.com/subscriptions/…/onlineEndpoints/NAME",
  vertex: "That of the endpoint's region",
  databricks: "The workspace",
};

/** A credential for a management API to start from: of the kind that it takes. */
export function managementAuth(draft: EndpointDraft): AuthDraft {
  const name = `${secretName(draft.url)}-management`;
  const auth = authOfKind(({ sagemaker: "aws_sigv4", azureml: "entra", vertex: "google_service_account" } as const)[draft.protocol] ?? "bearer", { kind: "none" }, name);
  return auth.kind === "entra" ? { ...auth, scope: "https://management.azure.com/.default" } : auth;
}

/** Whether a request of this protocol can be described by a template. */
export const takesTemplate = (protocol: string): boolean => protocol === "json" || protocol === "torchserve" || CLOUDS.has(protocol);

/** A template to start from, for a TorchServe handler that takes one row. */
export const handlerJson = (): JsonDraft => ({ path: "", body: '{"x": "{{row}}"}', prediction: "/y", version: null, live: null, ready: null });

/** A template to start from, for a model in a cloud whose container wants a body of its own. */
export const containerJson = (): JsonDraft => ({ path: "", body: '{"instances": "{{rows}}"}', prediction: "/predictions", version: null, live: null, ready: null });

/** The draft spoken to in another protocol: what only the old one has is left behind. */
export function withProtocol(draft: EndpointDraft, protocol: string): EndpointDraft {
  return {
    ...draft,
    protocol,
    json: protocol === "json" ? (draft.json ?? emptyJson()) : null,
    payload: PAYLOADS[protocol]?.some(([form]) => form === draft.payload) ? draft.payload : "auto",
    management_url: protocol === draft.protocol ? draft.management_url : null,
    management_auth: CLOUDS.has(protocol) || protocol === "torchserve" ? draft.management_auth : null,
    model_version: VERSION_LABEL[protocol] ? draft.model_version : null,
    prompts: GENERATES_TEXT.has(protocol) ? (draft.prompts ?? emptyPrompts()) : null,
    probe_rows: TAKES_NO_ROWS.has(protocol) ? null : draft.probe_rows,
    golden_set: TAKES_NO_ROWS.has(protocol) ? null : draft.golden_set,
  };
}

/** Adds a scheme where the paste had none: plain HTTP for this machine, TLS for others. */
export function normaliseUrl(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "" || /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed)) return trimmed;
  return /^(localhost|127\.|\[::1\])/i.test(trimmed) ? `http://${trimmed}` : `https://${trimmed}`;
}

/** A name for the secret of an endpoint, from its host: letters, digits and dashes. */
export function secretName(url: string): string {
  let host = "endpoint";
  try {
    host = new URL(normaliseUrl(url)).host || host;
  } catch {
    // An unfinished URL keeps the general name.
  }
  return `${host.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "")}-credential`;
}

/** The credential of another kind, keeping what both have. */
export function authOfKind(kind: AuthDraft["kind"], before: AuthDraft, name: string): AuthDraft {
  const secret = "secret" in before ? before.secret : name;
  switch (kind) {
    case "none":
      return { kind };
    case "bearer":
      return { kind, secret };
    case "basic":
      return { kind, username: "", secret };
    case "header":
      return { kind, name: "X-Api-Key", secret };
    case "query":
      return { kind, name: "api_key", secret };
    case "oauth2":
      return { kind, token_url: "", client_id: "", secret, scopes: "", audience: null, client_auth: "basic" };
    case "entra":
      return { kind, tenant: "", client_id: "", secret, scope: "https://ml.azure.com/.default", authority: null };
    case "google_service_account":
      return { kind, secret, scope: "https://www.googleapis.com/auth/cloud-platform", audience: null };
    case "aws_sigv4":
      return { kind, region: "", service: "sagemaker", source: awsSourceFrom("static", secret), assume_role: null };
  }
}

/** The keyring's names of a credential's secrets. */
export function secretsOf(auth: AuthDraft): string[] {
  if (auth.kind === "none") return [];
  if (auth.kind !== "aws_sigv4") return [auth.secret];
  return auth.source.from === "static" ? [auth.source.secret, auth.source.session_token_secret].filter((name) => name !== null) : [];
}

/** Another place that AWS keys come from. */
export function awsSourceFrom(from: AwsSourceDraft["from"], secret: string): AwsSourceDraft {
  switch (from) {
    case "static":
      return { from, access_key_id: "", secret, session_token_secret: null };
    case "profile":
      return { from, name: "default" };
    case "environment":
      return { from };
  }
}

/** Another way to an endpoint. */
export function networkOfKind(kind: NetworkDraft["kind"]): NetworkDraft {
  switch (kind) {
    case "system":
    case "direct":
      return { kind };
    case "proxy":
      return { kind, url: "", username: null, secret: null, bypass: "" };
    case "ssh":
      return { kind, host: "", port: 22, user: "", auth: { kind: "agent", socket: null }, host_key: null };
    case "kubernetes":
      return { kind, context: "", kubeconfig: null, run_plugin: false };
  }
}

/** Another way to log in to a jump host; `name` begins the keyring's names of its secrets. */
export function sshAuthOfKind(kind: SshAuthDraft["kind"], name: string): SshAuthDraft {
  switch (kind) {
    case "agent":
      return { kind, socket: null };
    case "key":
      return { kind, secret: `${name}-key`, passphrase_secret: null };
    case "key_file":
      return { kind, path: "~/.ssh/id_ed25519", passphrase_secret: null };
    case "password":
      return { kind, secret: `${name}-password` };
  }
}

/** The control plane of another kind. */
export function planeOfKind(kind: "" | ControlPlaneDraft["kind"], model: string): ControlPlaneDraft | null {
  if (kind === "mlflow") return { kind, url: "", model, alias: "champion", auth: { kind: "none" }, reload: null };
  return kind === "demo" ? { kind, url: "", model } : null;
}

/** The credential that a server asks for, as far as this form can hold it. */
export function authOfHint(hint: CredentialHint, before: AuthDraft, name: string): AuthDraft {
  switch (hint.kind) {
    case "basic":
      return authOfKind("basic", before, name);
    case "header":
      return { kind: "header", name: hint.name, secret: "secret" in before ? before.secret : name };
    case "aws_sigv4": {
      const signed = authOfKind("aws_sigv4", before, name);
      return signed.kind === "aws_sigv4" ? { ...signed, region: hint.region ?? signed.region } : signed;
    }
    case "google_service_account":
    case "entra":
      return authOfKind(hint.kind, before, name);
    default:
      return authOfKind("bearer", before, name);
  }
}

/** Where metrics are read, of another kind. */
export function metricsOfKind(kind: "" | MetricsDraft["kind"], found: MetricsFindResult | undefined): MetricsDraft | null {
  if (kind === "scrape") return scrapeOf(found) ?? { kind, url: "", interval_ms: 30_000, send_credential: false };
  return kind === "prometheus" ? { kind, url: "", auth: { kind: "none" }, panels: [{ name: "", query: "", unit: "seconds", quantity: null }] } : null;
}

/** The page of metrics that was found, as a setting; `null` when there is none. */
export const scrapeOf = (found: MetricsFindResult | undefined): MetricsDraft | null =>
  found?.url ? { kind: "scrape", url: found.url, interval_ms: 30_000, send_credential: found.send_credential } : null;

/** What a detection says about a draft. */
export function applyDetection(draft: EndpointDraft, found: Detection): EndpointDraft {
  const model = found.models[0]?.name ?? null;
  const protocol = found.protocol ?? "json";
  const isJson = protocol === "json";
  return {
    ...withProtocol(draft, protocol),
    url: found.protocol ? found.base_url : draft.url,
    // A JSON route belongs to one model already; a name for it would be sent nowhere.
    model: isJson ? null : found.models.some((candidate) => candidate.name === draft.model) ? draft.model : model,
    name: draft.name || model || "",
    json: isJson ? (draft.json ?? templateOf(found, found.models[0])) : null,
    probe_rows: draft.probe_rows ?? (isJson ? found.example_rows : null),
    management_url: protocol === "torchserve" ? (draft.management_url ?? found.management_url) : CLOUDS.has(protocol) ? draft.management_url : null,
  };
}

/** The request of one of the models found, for plain JSON. */
function templateOf(found: Detection, model: DetectedModel | undefined): JsonDraft {
  const template = found.template ?? emptyJson();
  return { ...template, path: model?.predict ?? template.path };
}

/** One draft for each model chosen: the settings in common, its own name and route. */
export function draftsOf(draft: EndpointDraft, found: Detection, chosen: readonly string[]): EndpointDraft[] {
  const wanted = new Set(chosen);
  return found.models
    .filter((model) => wanted.has(model.name))
    .map((model) => ({
      ...draft,
      name: model.name,
      model: draft.protocol === "json" ? null : model.name,
      model_version: null,
      // Rows and golden sets belong to one model.
      probe_rows: null,
      golden_set: null,
      control_plane: null,
      json: draft.json && { ...draft.json, path: model.predict ?? draft.json.path },
    }));
}

/** A number field's text as a number; empty is `null`. */
export const numberOrNull = (text: string): number | null => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));
/** A text field's text; empty is `null`. */
export const textOrNull = (text: string): string | null => (text.trim() === "" ? null : text);
