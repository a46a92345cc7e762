//! What a server says of its model, and that it is shown as it was said.

use pilothouse_api::Api;
use pilothouse_api::types::{DescribedVersion, ModelDescription, TensorField};
use pilothouse_tests::RealServer;

use crate::support::of;

/// What must be shown of a model.
pub(crate) enum Metadata {
    /// Nothing, for this reason.
    Untold(&'static str),
    /// One line for each thing that the server says; see [`lines`].
    Told(fn(&RealServer) -> Vec<String>),
}

/// The lines of [`Metadata::Told`].
pub(crate) fn told(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Asks for the model's description and compares it with what the server was set up to say.
pub(crate) async fn is_shown(api: &Api, id: i64, name: &str, server: &RealServer, metadata: &Metadata) {
    let described = api.model_describe(of(id)).await;
    match metadata {
        // A server may as well refuse to describe it.
        Metadata::Untold(why) => {
            let shown = described.map(|model| lines(&model)).unwrap_or_default();
            assert!(shown.is_empty(), "{name}: {why}, and yet there is {shown:?}");
        }
        Metadata::Told(told) => assert_eq!(lines(&described.unwrap()), told(server), "{name}"),
    }
}

/// `model tumours`, `server mlserver 1.7.1`, `version 2 READY, default, 1 worker`, `in radius FP64 [-1]`, …
fn lines(model: &ModelDescription) -> Vec<String> {
    let named = [
        ("model", (!model.name.is_empty()).then(|| model.name.clone())),
        ("server", model.server.clone()),
        ("platform", model.platform.clone()),
        ("ready", model.ready.map(|ready| ready.to_string())),
        ("fields from", model.schema_source.clone()),
    ];
    let named = named.into_iter().filter_map(|(what, value)| Some(format!("{what} {}", value?)));
    let inputs = model.inputs.iter().map(|input| field("in", input));
    let outputs = model.outputs.iter().map(|output| field("out", output));
    named.chain(model.versions.iter().map(version)).chain(inputs).chain(outputs).collect()
}

fn version(version: &DescribedVersion) -> String {
    let said = [
        version.state.clone(),
        if version.is_default { "default".to_owned() } else { String::new() },
        version.workers.map(|workers| format!("workers {workers}")).unwrap_or_default(),
        version.detail.clone().unwrap_or_default(),
    ];
    let said: Vec<String> = said.into_iter().filter(|word| !word.is_empty()).collect();
    format!("version {} {}", version.version, said.join(", ")).trim_end().to_owned()
}

fn field(direction: &str, field: &TensorField) -> String {
    let optional = if field.optional { " optional" } else { "" };
    format!("{direction} {} {} {:?}{optional}", field.name, field.datatype, field.shape)
}
