/** How the fleet is looked at; kept while one visits other screens. */
import type { HealthWord } from "../../backend/gen/types";
import type { GroupBy, SortBy, View } from "./list";

class FleetView implements View {
  text = $state("");
  environment = $state("");
  protocol = $state("");
  health = $state<HealthWord | "">("");
  group = $state<GroupBy>("environment");
  sort = $state<SortBy>("state");
  descending = $state(false);

  /** Takes the filter away. */
  clear(): void {
    this.text = this.environment = this.protocol = this.health = "";
  }
}

/** The one view of the fleet in this window. */
export const fleetView = new FleetView();
