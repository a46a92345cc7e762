/** Turns whatever was thrown into an `ApiError`, so that every screen shows failures alike. */
import type { ApiError, Code } from "./gen/types";

const CODES: ReadonlySet<string> = new Set<Code>([
  "invalid_input",
  "not_found",
  "conflict",
  "blocked",
  "keyring_locked",
  "keyring_unavailable",
  "secret_missing",
  "target_failed",
  "control_plane_failed",
  "not_enough_data",
  "cancelled",
  "storage",
  "internal",
]);

/** Whether a value has the form of an `ApiError`. */
export function isApiError(value: unknown): value is ApiError {
  if (typeof value !== "object" || value === null) return false;
  const candidate = value as Partial<ApiError>;
  return typeof candidate.message === "string" && typeof candidate.code === "string" && CODES.has(candidate.code);
}

/** The `ApiError` in a thrown value; anything else becomes an `internal` one that keeps its text. */
export function toApiError(value: unknown): ApiError {
  if (isApiError(value)) return { code: value.code, message: value.message, hint: value.hint ?? null };
  const message = value instanceof Error ? value.message : typeof value === "string" ? value : "The engine gave no reason";
  return { code: "internal", message, hint: "Try again; if it stays so, the log file (Settings) says more." };
}
