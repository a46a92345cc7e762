/**
 * The seam to the engine. Everything above this folder talks to a `Backend`; only `tauri.ts` knows that the engine is
 * reached through Tauri, so the same screens run on invented data in tests and in `npm run dev:fixture`.
 */
import type { Commands } from "./gen/commands";

export type { Commands };

/** Name of a command of the engine. */
export type CommandName = keyof Commands;
/** Request of a command. */
export type Request<K extends CommandName> = Commands[K]["request"];
/** Response of a command. */
export type Response<K extends CommandName> = Commands[K]["response"];

/** The engine as the window sees it. */
export interface Backend {
  /** Runs one command. Rejects with an `ApiError` and with nothing else. */
  call<K extends CommandName>(name: K, request: Request<K>): Promise<Response<K>>;
  /** Tells which tags became stale; answers a function that stops the telling. */
  onStale(listener: (tags: string[]) => void): () => void;
}
