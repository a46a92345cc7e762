//! Entries for fuzzing: bytes as a server could send them, into everything of this crate that reads them.
//!
//! What must stay true: nothing is sent and nothing is waited for; a panic here is a panic that a server could cause.

use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Protocol, Target};

use crate::protocol::{
    ModelMetadata, ServingProtocol, of_target, read_grpc_index, read_grpc_ready, read_grpc_server_metadata,
    read_health_check, read_repository_index, status_failure,
};
use crate::stream::{EventSplitter, Framing};

/// A body, read as the answer to every question of every protocol. Its first byte chooses how many rows were sent.
pub fn answers(bytes: &[u8]) {
    let Some((rows, body)) = bytes.split_first() else { return };
    answers_to(body, usize::from(*rows % 5));
}

/// A stream of events: any split of it gives the same ones, and each is read by every protocol that generates text. The
/// first byte chooses the split.
pub fn stream(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    for framing in [Framing::ServerSentEvents, Framing::JsonLines, Framing::Whole] {
        let read = |piece: usize| {
            let mut found = Vec::new();
            let mut splitter = EventSplitter::new(framing);
            for piece in bytes.chunks(piece.max(1)) {
                splitter.push(piece, &mut |event| found.push(event.to_vec())).ok()?;
            }
            splitter.finish(&mut |event| found.push(event.to_vec()));
            Some(found)
        };
        let whole = read(bytes.len());
        assert_eq!(read(usize::from(*length)), whole, "any split gives the same events");
        for protocol in protocols() {
            let Some(generation) = protocol.generation() else { continue };
            for event in whole.iter().flatten() {
                let _ = generation.read_part(event);
            }
        }
    }
}

/// What a server says to each question of a detection; [`replay`](crate::detect) describes the form.
pub fn detection(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        crate::detect::replay::judge(text);
    }
}

/// An answer of gRPC: its frame, its status, and its message as the answer to every question.
pub fn grpc(bytes: &[u8]) {
    if let Some(message) = crate::grpc::read_any(bytes) {
        answers_to(&message, 2);
    }
    // Most mutations break the frame; the message alone is read as well.
    answers_to(bytes, 2);
}

/// Every protocol, bound to a target that uses all of its settings, and, where that is another way of reading, to one without
/// a template.
pub(crate) fn protocols() -> Vec<Box<dyn ServingProtocol>> {
    let all = Protocol::ALL.iter().map(|protocol| target(*protocol));
    let bare = Protocol::ALL.iter().filter(|protocol| protocol.divides_traffic());
    let bare = bare.map(|protocol| Target { json: None, ..target(*protocol) });
    all.chain(bare).filter_map(|target| of_target(&target).ok()).collect()
}

fn target(protocol: Protocol) -> Target {
    let url = match protocol {
        Protocol::Vertex => "http://h/v1/projects/p/locations/l/endpoints/1",
        _ => "http://h/",
    };
    let url = url::Url::parse(url).expect("the URL is valid");
    let json = JsonTemplate {
        path: "predict".into(),
        body: serde_json::json!({"x": "{{rows}}"}),
        prediction: "/predictions".into(),
        version: Some("/version".into()),
        ..JsonTemplate::default()
    };
    Target { model: Some("m".into()), json: Some(json), ..Target::new(url, protocol) }
}

/// Reads a body as the answer to every question, after `rows` rows were sent.
pub(crate) fn answers_to(body: &[u8], rows: usize) {
    for protocol in protocols() {
        if let Ok(answer) = protocol.read_prediction(body, rows) {
            let _ = crate::checks::check(&answer, &pilothouse_domain::endpoint::ResponseChecks::default(), None);
        }
        let _ = protocol.read_metadata(body);
        let _ = protocol.read_health(body);
        let _ = protocol.read_liveness(body);
        let _ = protocol.read_readiness(body);
        for further in 0..protocol.further_calls().len() {
            let _ = protocol.read_further(further, body, &mut ModelMetadata::default());
        }
        if let Some(generation) = protocol.generation() {
            let _ = generation.read_part(body);
        }
        for status in [100, 200, 302, 400, 404, 418, 503, 999] {
            let _ = status_failure(protocol.as_ref(), status, body, rows == 0);
        }
    }
    let _ = read_repository_index(body);
    let _ = (read_grpc_index(body), read_grpc_server_metadata(body), read_grpc_ready(body), read_health_check(body));
}
