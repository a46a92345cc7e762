/** How a cloud's word on an endpoint is shown. */
import type { DeploymentTold } from "../../backend/gen/types";
import type { Shape } from "../../shared/tones";

const STATES: Record<string, { shape: Shape; word: string }> = {
  serving: { shape: "ok", word: "Serves" },
  changing: { shape: "busy", word: "Serves while it is changed" },
  change_failed: { shape: "warn", word: "Serves; its last change failed" },
  starting: { shape: "waiting", word: "Starting" },
  not_serving: { shape: "paused", word: "Does not serve" },
  failed: { shape: "bad", word: "Failed" },
};

/** The shape of a state; an empty ring for a word that is not known. */
export const deploymentShape = (state: string): Shape => STATES[state]?.shape ?? "unknown";

/** The cloud's own word with our reading beside it, where they differ. */
export function deploymentWord(told: Pick<DeploymentTold, "state" | "word">): string {
  const reading = STATES[told.state]?.word;
  if (!told.word) return reading ?? "Not told";
  return !reading || reading.toLowerCase() === told.word.toLowerCase() ? told.word : `${told.word} (${reading.toLowerCase()})`;
}
