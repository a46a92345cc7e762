/** Starts the window: chooses the backend, puts the application into the page. */
import "@fontsource-variable/inter/index.css";
import { mount } from "svelte";
import { App as AppState } from "./app.svelte";
import { selectBackend } from "./backend/select";
import Root from "./Root.svelte";
import "./styles/base.css";
import "./styles/tokens.css";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no element #app");
mount(Root, { target, props: { app: new AppState(await selectBackend()) } });
