//! `discover`: the model endpoints of a Kubernetes cluster or of a Docker engine.

use clap::{Args, Subcommand};
use pilothouse_api::types::{
    ClusterContext, DiscoverAddRequest, DiscoveredChoice, DiscoveredImage, DiscoveredItem, DiscoveredWay,
    DiscoveryPlace, DiscoveryPlaces, DiscoveryPlacesRequest, DiscoveryView, EndpointAdded, NetworkDraft,
};
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::import::added_text;
use crate::output::{Output, plain};
use crate::session::with_api;

/// `discover`
#[derive(Debug, Subcommand)]
pub(crate) enum DiscoverCommand {
    /// List the contexts of the kubeconfig and the Docker engine, without asking any of them
    Places(PlacesOptions),
    /// Look through a Kubernetes cluster: `InferenceService`s, and Services whose labels or pods name a model server
    Kubernetes(KubernetesOptions),
    /// Look through the Docker engine of this machine: running containers of model servers
    Docker(DockerOptions),
}

/// `discover places`
#[derive(Debug, Args)]
pub(crate) struct PlacesOptions {
    /// Kubeconfig; without it `KUBECONFIG`, else `~/.kube/config`
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
}

/// `discover kubernetes`
#[derive(Debug, Args)]
pub(crate) struct KubernetesOptions {
    /// Kubeconfig; without it `KUBECONFIG`, else `~/.kube/config`
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// Context; without it the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace; without it all of them, as far as they may be listed
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Also list the Services that this label selector selects, such as `team=ml`
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    labels: Option<String>,
    /// Run the command with which the context logs in, if its kubeconfig names one
    #[arg(long)]
    run_plugin: bool,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// `discover docker`
#[derive(Debug, Args)]
pub(crate) struct DockerOptions {
    /// The engine's socket; without it that of `DOCKER_HOST`, else the first that exists of the usual places
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// Also list the containers that have this label: `key` or `key=value`
    #[arg(long, short = 'l', value_name = "LABEL")]
    label: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// Connecting what was found.
#[derive(Debug, Args)]
struct ConnectOptions {
    /// Ask each server that was found what it is, and watch its models
    #[arg(long)]
    connect: bool,
    /// Connect by a forwarded port where there is one, even if there is a URL
    #[arg(long, requires = "connect")]
    forward: bool,
    /// Connect this one alone; may be given several times
    #[arg(long, value_name = "NAME", requires = "connect")]
    only: Vec<String>,
    /// Environment of what is connected
    #[arg(long, value_name = "E", default_value = "production")]
    env: String,
}

/// Carries it out. Bad news when nothing was found, or something was refused.
pub(crate) async fn run(command: DiscoverCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    let (place, connect) = match command {
        DiscoverCommand::Places(options) => return places(options, output).await,
        DiscoverCommand::Kubernetes(options) => {
            let KubernetesOptions { kubeconfig, context, namespace, labels, run_plugin, connect } = options;
            (DiscoveryPlace::Kubernetes { kubeconfig, context, namespace, labels, run_plugin }, connect)
        }
        DiscoverCommand::Docker(DockerOptions { socket, label, connect }) => {
            (DiscoveryPlace::Docker { socket, label }, connect)
        }
    };
    let view = pilothouse_api::discover(place).await?;
    if !connect.connect {
        output.answer(&json!(view), || view_text(&view));
        return Ok(Answer::good_if(!view.items.is_empty()));
    }
    let items = chosen(&view, &connect)?;
    with_api(common, async |api| {
        let environment = connect.env.clone();
        let added = Box::pin(api.discover_add(DiscoverAddRequest { environment, items })).await?.items;
        let document = json!({ "place": view.place, "items": view.items, "notes": view.notes, "added": added });
        output.answer(&document, || format!("{}\n\n{}", view_text(&view), added_text(&added)));
        let all = !added.is_empty() && added.iter().all(|item: &EndpointAdded| item.id.is_some());
        Ok(Answer::good_if(all))
    })
    .await
}

async fn places(options: PlacesOptions, output: Output) -> Result<Answer, Failure> {
    let request = DiscoveryPlacesRequest { kubeconfig: options.kubeconfig };
    let places = pilothouse_api::discovery_places(request).await;
    output.answer(&json!(places), || places_text(&places));
    Ok(Answer::good_if(!places.contexts.is_empty() || places.docker_socket.is_some()))
}

/// Everything that can be reached, or what was named of it.
fn chosen(view: &DiscoveryView, connect: &ConnectOptions) -> Result<Vec<DiscoveredChoice>, Failure> {
    let only = &connect.only;
    if let Some(missing) = only.iter().find(|name| !view.items.iter().any(|item| item.name == **name)) {
        let known: Vec<String> = view.items.iter().map(|item| format!("`{}`", plain(&item.name))).collect();
        return Err(Failure::usage(format!("`{}` was not found there", plain(missing)))
            .hint(format!("it holds {}", if known.is_empty() { "nothing".into() } else { known.join(", ") })));
    }
    let wanted = view.items.iter().filter(|item| only.is_empty() || only.contains(&item.name));
    Ok(wanted.filter_map(|item| choice(item, connect.forward)).collect())
}

fn choice(item: &DiscoveredItem, forward: bool) -> Option<DiscoveredChoice> {
    let way = item.ways.iter().find(|way| forward && is_forwarded(way)).or(item.ways.first())?;
    Some(DiscoveredChoice {
        name: item.name.clone(),
        url: way.url.clone(),
        network: way.network.clone(),
        protocol: item.protocol.clone(),
        model: item.model.clone(),
        image: item
            .image
            .clone()
            .filter(|_| item.kind == "container")
            .map(|name| DiscoveredImage { name, version: item.version.clone() }),
    })
}

fn is_forwarded(way: &DiscoveredWay) -> bool {
    matches!(way.network, NetworkDraft::Kubernetes { .. })
}

/// A context of a kubeconfig, for people.
pub(crate) fn context_lines(context: &ClusterContext) -> Vec<String> {
    let current = if context.is_current { " (current)" } else { "" };
    let mut lines = vec![
        format!("context {}{current}: {}", plain(&context.name), plain(&context.server)),
        format!("  trusts {}; logs in with {}", plain(&context.trust), plain(&context.login)),
    ];
    lines.extend(context.plugin.iter().map(|command| format!("  runs (with --run-plugin): {}", plain(command))));
    lines.extend(context.problem.iter().map(|problem| format!("  cannot be used: {}", plain(problem))));
    lines
}

fn places_text(places: &DiscoveryPlaces) -> String {
    let mut lines = Vec::new();
    lines.extend(places.contexts.iter().flat_map(context_lines));
    if places.contexts.is_empty() {
        lines.push(places.kubeconfig_problem.clone().unwrap_or_else(|| "no kubeconfig was found".into()));
    }
    match (&places.docker_socket, &places.docker_problem) {
        (Some(socket), _) => lines.push(format!("Docker engine: {}", plain(socket))),
        (None, problem) => lines.extend(problem.clone()),
    }
    lines.join("\n")
}

fn view_text(view: &DiscoveryView) -> String {
    let mut lines = vec![format!("{}: {} found", plain(&view.place), view.items.len())];
    for item in &view.items {
        let place = item.namespace.as_deref().map_or_else(String::new, |name| format!(" in {}", plain(name)));
        let ways = item.ways.iter().map(|way| {
            let how = if is_forwarded(way) { " (by a forwarded port)" } else { "" };
            format!("{}{how}", plain(&way.url))
        });
        let ways = ways.collect::<Vec<_>>().join(", or ");
        let ways = if ways.is_empty() { "no way to it" } else { &ways };
        lines.push(format!("{}{place}: {ways}", plain(&item.name)));
        let told = [
            ("stack", &item.stack),
            ("protocol", &item.protocol),
            ("model", &item.model),
            ("version", &item.version),
            ("image", &item.image),
            ("digest", &item.digest),
        ];
        let told: Vec<String> =
            told.iter().filter_map(|(word, text)| Some(format!("{word} {}", plain(text.as_deref()?)))).collect();
        if !told.is_empty() {
            lines.push(format!("  {}", told.join(", ")));
        }
        lines.extend(item.evidence.iter().map(|line| format!("  {}", plain(line))));
        lines.extend(item.problems.iter().map(|line| format!("  problem: {}", plain(line))));
    }
    lines.extend(view.notes.iter().map(|note| format!("note: {}", plain(note))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(url: &str) -> DiscoveredWay {
        let network = NetworkDraft::Kubernetes { context: "prod".into(), kubeconfig: None, run_plugin: false };
        DiscoveredWay { url: url.into(), network }
    }

    fn item(name: &str, ways: Vec<DiscoveredWay>) -> DiscoveredItem {
        DiscoveredItem {
            name: name.into(),
            kind: "service".into(),
            namespace: Some("models".into()),
            ways,
            stack: Some("vLLM".into()),
            protocol: Some("openai".into()),
            model: None,
            version: Some("v0.11.0".into()),
            image: None,
            digest: None,
            ready: Some(true),
            evidence: vec!["its pods run vllm/vllm-openai, which is vLLM".into()],
            problems: Vec::new(),
        }
    }

    #[test]
    fn only_what_can_be_reached_is_connected() {
        let direct = DiscoveredWay { url: "http://10.0.0.9:8000/".into(), network: NetworkDraft::System };
        let inside = "http://llm.models.svc.cluster.local/";
        let items = vec![item("llm", vec![direct, forwarded(inside)]), item("inner", Vec::new())];
        let view = DiscoveryView { place: "context prod".into(), items, notes: vec!["a note".into()] };
        let urls = |only: &[&str], forward: bool| {
            let only = only.iter().map(|&name| name.to_owned()).collect();
            let connect = ConnectOptions { connect: true, forward, only, env: "production".into() };
            chosen(&view, &connect).map(|found| found.into_iter().map(|item| item.url).collect::<Vec<_>>())
        };
        assert_eq!(urls(&[], false).unwrap(), ["http://10.0.0.9:8000/"]);
        assert_eq!(urls(&["llm"], true).unwrap(), [inside]);
        assert!(urls(&["inner"], false).unwrap().is_empty());
        assert!(urls(&["other"], false).unwrap_err().error.hint.unwrap().contains("`llm`"));
        let text = view_text(&view);
        assert!(text.contains("llm in models: http://10.0.0.9:8000/, or http://llm.models.svc"), "{text}");
        assert!(text.contains("(by a forwarded port)") && text.contains("version v0.11.0"), "{text}");
        assert!(text.contains("inner in models: no way to it") && text.ends_with("note: a note"), "{text}");
    }
}
