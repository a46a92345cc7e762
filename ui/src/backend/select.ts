/** Chooses the backend. The fixture is imported only in its own build mode, so a production bundle does not contain it. */
import type { Backend } from "./backend";

/** The backend of this build. */
export async function selectBackend(): Promise<Backend> {
  if (import.meta.env.MODE === "fixture") {
    const { fixtureBackend, optionsFromLocation } = await import("./fixture/fixture");
    return fixtureBackend(optionsFromLocation(window.location.search));
  }
  const { tauriBackend } = await import("./tauri");
  return tauriBackend();
}
