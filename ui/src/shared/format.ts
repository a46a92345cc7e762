/** Numbers and times as people read them: units always, tabular, a true minus sign, exact times in the user's zone. */

const LOCALE = "en-GB";
const MINUS = "−";
const NONE = "–";

/** IANA name of the user's time zone; `UTC` where the system does not say. */
export function timeZone(): string {
  try {
    return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  } catch {
    return "UTC";
  }
}

function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(LOCALE, { hourCycle: "h23", ...options });
}

const EXACT = dateFormat({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const CLOCK = dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT_CLOCK = dateFormat({ hour: "2-digit", minute: "2-digit" });
const DAY = dateFormat({ weekday: "short", day: "numeric", month: "short" });
const SHORT_DAY = dateFormat({ day: "numeric", month: "short" });
const DAY_CLOCK = dateFormat({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const COUNT = new Intl.NumberFormat(LOCALE);

/** Date and time to the second. */
export const exactTime = (ms: number): string => EXACT.format(ms);
/** Time of day to the second. */
export const clockTime = (ms: number): string => CLOCK.format(ms);
/** Time of day to the minute. */
export const shortClock = (ms: number): string => SHORT_CLOCK.format(ms);
/** Day of the week, day and month. */
export const dayName = (ms: number): string => DAY.format(ms);
/** Day and month. */
export const shortDay = (ms: number): string => SHORT_DAY.format(ms);
/** Day and time to the minute. */
export const dayClock = (ms: number): string => DAY_CLOCK.format(ms);

/** A span of time in its largest unit: `4 s`, `3 min`, `2 h`, `9 d`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A moment as seen from now: `4 s ago`, `in 3 min`, `now`. */
export function relativeTime(ms: number, now: number): string {
  const distance = now - ms;
  if (Math.abs(distance) < 1500) return "now";
  return distance > 0 ? `${span(distance)} ago` : `in ${span(-distance)}`;
}

/** Microseconds as a duration with about three significant digits. */
export function duration(us: number | null | undefined): string {
  if (us === null || us === undefined) return NONE;
  if (us < 10_000) return `${(us / 1000).toFixed(us < 1000 ? 2 : 1)} ms`;
  if (us < 1_000_000) return `${Math.round(us / 1000)} ms`;
  if (us < 60_000_000) return `${(us / 1_000_000).toFixed(us < 10_000_000 ? 2 : 1)} s`;
  return span(us / 1000);
}

/** Milliseconds as a duration. */
export const durationMs = (ms: number | null | undefined): string => duration(ms === null || ms === undefined ? ms : ms * 1000);

/** A number with a fixed count of digits and a true minus. */
export function fixed(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

/** A number of about `digits` significant digits, for values of unknown size. */
export function significant(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return fixed(value, Math.min(6, Math.max(0, digits - 1 - size)));
}

/** Digits after the point that show a difference of size `scale` with three significant digits. */
export function digitsFor(scale: number): number {
  if (!Number.isFinite(scale) || scale <= 0) return 3;
  return Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(scale))));
}

/** A number with its sign. */
export function signed(value: number | null | undefined, digits = 3): string {
  const text = fixed(value, digits);
  return value !== null && value !== undefined && value > 0 && Number(value.toFixed(digits)) !== 0 ? `+${text}` : text;
}

/** A share as a percentage. */
export function percent(share: number | null | undefined, digits = 1): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  const value = share * 100;
  return `${value === 0 || value === 100 ? value.toFixed(0) : value.toFixed(digits)} %`;
}

/** Availability: as many digits as it takes to tell it from 100 %. */
export function availability(share: number | null | undefined): string {
  if (share === null || share === undefined) return NONE;
  if (share > 0.9995 && share < 1) return `${(Math.floor(share * 1e5) / 1e3).toFixed(3)} %`;
  return percent(share, 2);
}

/** A count with thousands separated. */
export const count = (value: number): string => COUNT.format(value);

/** A count with its noun. */
export const plural = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

/** Bytes in the unit that fits. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** A p-value as statisticians write it. */
export function pValue(value: number | null): string {
  if (value === null) return "";
  return value < 0.001 ? "p < 0.001" : `p = ${value.toFixed(3)}`;
}

/** A version for people: bare numbers get a `v`. */
export function versionLabel(version: string | null | undefined): string {
  if (version === null || version === undefined || version === "") return NONE;
  return /^\d/.test(version) ? `v${version}` : version;
}

const METRICS: Record<string, string> = {
  accuracy: "Accuracy",
  balanced_accuracy: "Balanced accuracy",
  f1: "F1",
  f1_macro: "F1 (macro)",
  precision: "Precision",
  recall: "Recall",
  roc_auc: "ROC AUC",
  pr_auc: "PR AUC",
  log_loss: "Log loss",
  brier: "Brier score",
  ece: "Calibration error",
  r2: "R²",
  rmse: "RMSE",
  mae: "MAE",
  availability: "Availability",
};

/** A metric's name for people. */
export const metricName = (name: string): string => METRICS[name] ?? capitalise(name.replaceAll("_", " "));

/** First letter upper case. */
export const capitalise = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const PROTOCOLS: Record<string, string> = {
  v2: "Open Inference V2",
  v2_grpc: "Open Inference V2 over gRPC",
  grpc_health: "gRPC health service",
  v1: "KServe V1 / TensorFlow Serving",
  torchserve: "TorchServe",
  mlflow: "MLflow",
  openai: "OpenAI API",
  ollama: "Ollama",
  json: "JSON over HTTP",
  sagemaker: "Amazon SageMaker",
  azureml: "Azure ML",
  vertex: "Vertex AI",
  databricks: "Databricks",
};

/** A serving protocol's name for people. */
export const protocolName = (protocol: string): string => PROTOCOLS[protocol] ?? protocol;

/** Half the width of an interval, where both ends are known. */
export function halfWidth(low: number | null, high: number | null): number | null {
  return low === null || high === null ? null : (high - low) / 2;
}
