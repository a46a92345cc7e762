//! The one table of all commands. The window's handlers, its permissions and the TypeScript types are checked against it.

/// Calls `$callback! { name(Request) -> Response "what it does"; … }` with every command.
#[macro_export]
macro_rules! commands {
    ($callback:ident) => {
        $callback! {
            fleet(FleetRequest) -> Fleet, "Every endpoint with its health, latency, quality and version, or what changed of them.";
            endpoint(EndpointRequest) -> EndpointDetail, "One endpoint's header, settings and latest events.";
            health_summary(RangeRequest) -> HealthSummary, "Counts, quantiles and phases of a range.";
            generation(RangeRequest) -> GenerationSummary, "How fast a range's answers were generated, and the last of them.";
            chart(ChartRequest) -> Chart, "One chart with the points it was drawn from.";
            server_metrics(RangeRequest) -> ServerMetrics, "What an endpoint's server says of itself over a range.";
            metrics_find(MetricsFindRequest) -> MetricsFindResult, "Looks for a server's page of metrics.";
            quality(RangeRequest) -> Quality, "Golden-set evaluations per version.";
            versions(EndpointRequest) -> Versions, "Every version, who was live when, and what we measured.";
            timeline(TimelineRequest) -> Timeline, "Events, newest first.";
            audit(AuditRequest) -> Audit, "Audit entries, newest first.";
            detect(DetectRequest) -> Detection, "What stands behind a URL.";
            ssh_host_key(SshHostKeyRequest) -> SshHostKey, "The key that a jump host shows, without logging in.";
            connect_test(ConnectTestRequest) -> ProbeResult, "Probes a draft once without saving it.";
            connect_describe(ConnectTestRequest) -> ModelDescription, "What a draft's server says about its model.";
            model_describe(EndpointRequest) -> ModelDescription, "What an endpoint's server says about its model.";
            endpoint_add(EndpointAddRequest) -> Created, "Connects an endpoint.";
            endpoints_add(EndpointsAddRequest) -> EndpointsAdded, "Connects several endpoints, each with its own result.";
            import_read(ImportReadRequest) -> ImportView, "What a text of another tool holds; nothing is stored.";
            import_apply(ImportApplyRequest) -> EndpointsAdded, "Connects what was chosen of an import.";
            discovery_places(DiscoveryPlacesRequest) -> DiscoveryPlaces, "Clusters and engines that can be looked through for models.";
            discover(DiscoverRequest) -> DiscoveryView, "What a cluster or an engine holds; nothing is stored.";
            discover_add(DiscoverAddRequest) -> EndpointsAdded, "Connects what was chosen of a place.";
            endpoint_update(EndpointUpdateRequest) -> EndpointUpdated, "Changes an endpoint's settings.";
            endpoint_test(EndpointUpdateRequest) -> ProbeResult, "Probes an edited endpoint once without saving it.";
            endpoint_remove(EndpointRemoveRequest) -> Empty, "Removes an endpoint with its history.";
            endpoint_pause(EndpointPauseRequest) -> Empty, "Pauses or resumes probing.";
            probe_now(EndpointRequest) -> ProbeResult, "Probes an endpoint at once and records it.";
            evaluate_now(EndpointRequest) -> EvaluationSummary, "Evaluates the golden set at once.";
            golden_set_import(GoldenSetImport) -> GoldenSetSummary, "Stores a labelled table as a golden set.";
            golden_sets(Empty) -> GoldenSets, "Every golden set without its rows.";
            golden_rows(GoldenRowsRequest) -> GoldenRows, "Rows of the endpoint's golden set with its predictions.";
            explain_cost(ExplainRequest) -> ExplainCost, "What an explanation would cost.";
            explain_start(ExplainRequest) -> JobStarted, "Starts an explanation.";
            explain_job(JobRequest) -> ExplainJob, "How far an explanation is.";
            explain_cancel(JobRequest) -> Empty, "Stops an explanation.";
            waterfall(WaterfallRequest) -> Image, "The waterfall of an explanation.";
            predict(PredictRequest) -> PredictResponse, "One prediction, for what-if.";
            rollback_plan(RollbackPlanRequest) -> RollbackPlan, "Prepares a rollback and checks it.";
            rollback_apply(RollbackApplyRequest) -> RollbackRun, "Carries out a prepared rollback.";
            rollback_status(RollbackStatusRequest) -> RollbackRun, "Where a rollback stands.";
            rollback_runs(EndpointRequest) -> RollbackRuns, "Rollbacks of an endpoint.";
            secret_set(SecretSetRequest) -> SecretEntry, "Stores a secret in the keyring.";
            secret_forget(SecretRequest) -> SecretEntry, "Removes a secret from the keyring.";
            secret_state(SecretRequest) -> SecretEntry, "Whether a secret is stored.";
            secrets(Empty) -> SecretList, "Every secret that an endpoint refers to.";
            settings(Empty) -> SettingsView, "Settings and facts of this program.";
            settings_set(Settings) -> SettingsView, "Changes the settings.";
            config_export(Empty) -> ConfigText, "The whole set-up as one TOML file.";
            config_diff(ConfigFiles) -> ConfigDiff, "What a configuration would change.";
            config_apply(ConfigApplyRequest) -> Empty, "Carries a configuration over, all of it or nothing.";
            demo_start(Empty) -> DemoState, "Starts the demo fleet and connects it.";
            demo_inject(DemoInjectRequest) -> DemoState, "Injects or clears a fault in the demo fleet.";
            demo_remove(Empty) -> Empty, "Stops the demo fleet and removes its endpoints with their history.";
        }
    };
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use ts_rs::TS;

    use crate::types::*;

    macro_rules! typescript {
        ($($name:ident($request:ident) -> $response:ident, $doc:literal;)*) => {{
            let config = ts_rs::Config::from_env();
            $(
                $request::export_all(&config).expect("generated types");
                $response::export_all(&config).expect("generated types");
            )*
            let mut names: Vec<String> = Vec::new();
            let mut body = String::new();
            $(
                names.push($request::name(&config));
                names.push($response::name(&config));
                let _ = writeln!(
                    body,
                    "  /** {} */\n  {}: {{ request: {}; response: {} }};",
                    $doc, stringify!($name), $request::name(&config), $response::name(&config)
                );
            )*
            names.sort();
            names.dedup();
            format!(
                "// This file was generated by `cargo xtask codegen`. Do not edit this file manually.\nimport type {{ {} }} from \"./types\";\n\n/** Every command of the engine with its request and response. */\nexport interface Commands {{\n{body}}}\n",
                names.join(", ")
            )
        }};
    }

    /// Writes every type and the table of commands as TypeScript. One test and not one per type, since runners that give
    /// each test a process of its own would have them write the same file at once.
    #[test]
    fn export_bindings() {
        let text = crate::commands!(typescript);
        let folder = std::env::var("TS_RS_EXPORT_DIR").expect(".cargo/config.toml sets TS_RS_EXPORT_DIR");
        std::fs::create_dir_all(&folder).expect("folder of generated types");
        std::fs::write(std::path::Path::new(&folder).join("commands.ts"), text).expect("generated table of commands");
    }
}
