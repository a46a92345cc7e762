/** The real backend: Tauri commands, and the one event `stale`. */
import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { Backend, CommandName, Request, Response } from "./backend";
import { toApiError } from "./errors";

/** Connects the window to the engine in the same process. */
export function tauriBackend(): Backend {
  return {
    async call<K extends CommandName>(name: K, request: Request<K>): Promise<Response<K>> {
      try {
        return await invoke<Response<K>>(name, { request });
      } catch (error) {
        throw toApiError(error);
      }
    },
    onStale(listener) {
      // `listen` answers later; a stop asked for before that must still take effect.
      let stopped = false;
      let unlisten: (() => void) | undefined;
      void listen<{ tags: string[] }>("stale", (event) => listener(event.payload.tags)).then((stop) => {
        if (stopped) stop();
        else unlisten = stop;
      });
      return () => {
        stopped = true;
        unlisten?.();
      };
    },
  };
}
