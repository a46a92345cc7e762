//! The server's own view as a step of the table: its page of metrics is found as the Connect screen finds it, read while
//! checks go on, and drawn.

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuthDraft, ChartKind, ChartRequest, ChartTheme, EndpointDraft, ImageFormat, MetricsDraft, MetricsFindRequest,
};
use pilothouse_tests::RealServer;
use url::Url;

use crate::support::{LATER, always, until};

/// What a stack says of itself.
pub(crate) struct ServerView {
    /// Whose series they are, as people call it.
    pub(crate) server: &'static str,
    pub(crate) page: Page,
    /// Whether its latency is known as `median` or as `mean`; `None`: it tells none.
    pub(crate) latency: Option<&'static str>,
    /// Quantities besides that have a value after the checks; the first one is drawn.
    pub(crate) told: &'static [&'static str],
}

/// Where the page of metrics is.
pub(crate) enum Page {
    /// Beside the API, behind the same credential.
    BesideApi,
    /// Two ports above the API, where no gate stands.
    TwoPortsAbove,
    /// Where nobody can guess it, so that a person gives its address.
    Given,
}

/// Looks for the page as the Connect screen does, and gives what it then writes into the form.
pub(crate) async fn find(
    api: &Api,
    view: &ServerView,
    server: &RealServer,
    wanted: &EndpointDraft,
    detected: Option<&str>,
) -> MetricsDraft {
    let page = server.metrics_url.clone().unwrap();
    let (base, page, with_credential) = match view.page {
        Page::BesideApi => {
            let base: Url = wanted.url.parse().unwrap();
            let page = base.join(page.path()).unwrap();
            (base, page, !matches!(wanted.auth, AuthDraft::None))
        }
        Page::TwoPortsAbove => (server.url.clone(), page, false),
        Page::Given => return scrape(&page, false),
    };
    let request = MetricsFindRequest {
        url: base.into(),
        server: detected.map(str::to_owned),
        model: wanted.model.clone(),
        auth: wanted.auth.clone(),
        ca_file: None,
        client_certificate_file: None,
        client_key_secret: None,
        network: pilothouse_api::types::NetworkDraft::System,
    };
    let found = api.metrics_find(request).await.unwrap();
    assert_eq!(found.url.as_deref(), Some(page.as_str()), "{found:?}");
    assert_eq!(found.server.as_deref(), Some(view.server), "{found:?}");
    assert_eq!(found.send_credential, with_credential, "{found:?}");
    assert!(!found.quantities.is_empty(), "{found:?}");
    scrape(&page, with_credential)
}

fn scrape(page: &Url, send_credential: bool) -> MetricsDraft {
    MetricsDraft::Scrape { url: page.to_string(), interval_ms: 1_000, send_credential }
}

/// Waits until the server has told everything, then judges and draws it.
pub(crate) async fn is_told(api: &Api, id: i64, name: &str, view: &ServerView) {
    let what = format!("{name} has told {:?}", view.told);
    let told = until(&what, LATER, async || {
        let told = api.server_metrics(always(id)).await.unwrap();
        let tells = |key: &&str| told.quantities.iter().any(|q| q.key == **key && q.value.is_some());
        let is_complete = view.told.iter().all(tells) && (told.latency.is_some() || view.latency.is_none());
        is_complete.then_some(told)
    });
    let told = told.await;
    assert_eq!((told.problem, told.server.as_deref()), (None, Some(view.server)), "{name}");
    let latency = told.latency.as_ref();
    assert_eq!(latency.map(|latency| latency.server_is.as_str()), view.latency, "{name}: {latency:?}");
    if let Some(latency) = latency {
        assert!(latency.server_us > 0.0, "{name}: {latency:?}");
        let bounds = latency.server_low_us.into_iter().zip(latency.server_high_us);
        assert!(bounds.into_iter().all(|(low, high)| (low..=high).contains(&latency.server_us)), "{name}: {latency:?}");
        is_drawn(api, id, ChartKind::ServerLatency, None).await;
    }
    is_drawn(api, id, ChartKind::Server, Some(view.told[0])).await;
}

async fn is_drawn(api: &Api, id: i64, kind: ChartKind, quantity: Option<&str>) {
    let chart = api.chart(chart(api, id, kind, quantity)).await.unwrap();
    let has_value = chart.points.iter().any(|point| point.values.iter().any(Option::is_some));
    assert!(has_value, "{kind:?} {quantity:?}: {:?}", chart.series);
}

/// The last ten minutes as a small picture.
pub(crate) fn chart(api: &Api, id: i64, kind: ChartKind, quantity: Option<&str>) -> ChartRequest {
    let now = api.engine().now().0;
    let colour = || "#336699".to_owned();
    ChartRequest {
        id,
        kind,
        quantity: quantity.map(str::to_owned),
        from_ms: now - 600_000,
        to_ms: now,
        width: 600,
        height: 200,
        scale: 1.0,
        theme: ChartTheme {
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
        },
        format: ImageFormat::Svg,
        time_zone: "UTC".into(),
    }
}
