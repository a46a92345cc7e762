//! An API on a database of its own, and drafts that name only what a test is about.

use std::time::Duration;

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuthDraft, ChartKind, ChartRequest, ChartTheme, Empty, EndpointDraft, FleetRequest, FleetRow, ImageFormat,
    JsonDraft,
};
use pilothouse_secrets::Secrets;
use pilothouse_testkit::FakeServer;
use tempfile::TempDir;

pub(crate) struct Place {
    pub(crate) api: Api,
    pub(crate) folder: TempDir,
}

pub(crate) fn open() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(&folder.path().join("made/by/us/fleet.db"), Secrets::memory(), None).unwrap();
    Place { api, folder }
}

pub(crate) fn draft(name: &str, server: &FakeServer) -> EndpointDraft {
    EndpointDraft {
        name: name.into(),
        environment: "staging".into(),
        url: server.url().to_string(),
        protocol: "json".into(),
        model: None,
        model_version: None,
        management_url: None,
        management_auth: None,
        payload: "auto".into(),
        interval_ms: 15_000,
        degraded_above_ms: None,
        confirm_after: 2,
        recover_after: 2,
        total_timeout_ms: 30_000,
        auth: AuthDraft::None,
        ca_file: None,
        client_certificate_file: None,
        client_key_secret: None,
        network: pilothouse_api::types::NetworkDraft::System,
        json: Some(JsonDraft {
            path: "predict".into(),
            body: r#"{"rows":"{{rows}}"}"#.into(),
            prediction: "/predictions".into(),
            version: None,
            live: None,
            ready: None,
        }),
        probe_rows: Some(r#"[{"x": 1}]"#.into()),
        prompts: None,
        control_plane: None,
        metrics: None,
        golden_set: None,
        evaluation_interval_ms: 300_000,
    }
}

/// The demo fleet, watched.
pub(crate) async fn demo() -> Place {
    let place = open();
    place.api.demo_start(Empty {}).await.unwrap();
    assert!(place.api.watch().await.unwrap());
    place
}

pub(crate) async fn row(api: &Api, name: &str) -> FleetRow {
    let fleet = api.fleet(FleetRequest::default()).await.unwrap();
    fleet.endpoints.into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no `{name}` in the fleet"))
}

/// Asks until `condition` gives something, for a minute at most.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) fn chart(id: i64, kind: ChartKind, from_ms: i64, to_ms: i64) -> ChartRequest {
    let colour = || "#336699".to_owned();
    let theme = ChartTheme {
        ink: colour(),
        muted: colour(),
        grid: colour(),
        accent: colour(),
        ok: colour(),
        warn: colour(),
        bad: colour(),
        unknown: colour(),
        band: colour(),
        background: None,
    };
    let (width, height, scale, format) = (600, 200, 1.0, ImageFormat::Svg);
    ChartRequest {
        id,
        kind,
        quantity: None,
        from_ms,
        to_ms,
        width,
        height,
        scale,
        theme,
        format,
        time_zone: "Europe/Zurich".into(),
    }
}
