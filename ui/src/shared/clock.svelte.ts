/** One ticking clock for the whole window, so that every relative time moves together and only one timer runs. */
import { createSubscriber } from "svelte/reactivity";

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => clearInterval(timer);
});

/** The present time; reading it in a component makes the component follow it, second by second. */
export function tickingNow(): number {
  subscribe();
  return Date.now();
}
