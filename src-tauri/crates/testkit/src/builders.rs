//! Values with sensible settings, so that a test names only what it is about.

use pilothouse_domain::{
    AnswerCheck, Cell, Column, ColumnKind, Endpoint, EndpointId, Environment, GenerationRoute, Message, ProbeConfig,
    Prompt, PromptSet, Protocol, Role, Table, Target, TimestampMs,
};
use url::Url;

/// A target without credential, model or probe rows.
pub fn target(url: &Url, protocol: Protocol) -> Target {
    Target::new(url.clone(), protocol)
}

/// A V2 endpoint named `name`, in `staging`, with the default probe settings.
pub fn endpoint(name: &str, url: &Url) -> Endpoint {
    Endpoint {
        id: EndpointId(0),
        name: name.to_owned(),
        environment: Environment("staging".into()),
        target: target(url, Protocol::OpenInference),
        probe: ProbeConfig::default(),
        evaluation: None,
        control_plane: None,
        metrics: None,
        paused: false,
        created: TimestampMs(0),
        revision: 0,
    }
}

/// Prompts of one user message each, streamed by the chat route, all with the same checks.
pub fn prompt_set(prompts: &[&str], checks: &[AnswerCheck]) -> PromptSet {
    let prompt = |content: &&str| Prompt {
        messages: vec![Message { role: Role::User, content: (*content).to_owned() }],
        checks: checks.to_vec(),
    };
    PromptSet {
        route: GenerationRoute::Chat,
        stream: true,
        max_tokens: PromptSet::MAX_TOKENS_DEFAULT,
        prompts: prompts.iter().map(prompt).collect(),
    }
}

/// Probe settings whose time limits pass quickly: 400 ms to connect, 400 ms to the first byte, 800 ms in all.
pub fn quick_probe_config() -> ProbeConfig {
    ProbeConfig {
        interval_ms: 1_000,
        connect_timeout_ms: 400,
        first_byte_timeout_ms: 400,
        total_timeout_ms: 800,
        max_response_bytes: 256 * 1024,
        ..ProbeConfig::default()
    }
}

/// A table of numbers with these columns.
pub fn number_table(columns: &[&str], rows: &[&[f64]]) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Numeric };
    Table {
        columns: columns.iter().map(column).collect(),
        rows: rows.iter().map(|row| row.iter().map(|&value| Cell::Number(value)).collect()).collect(),
    }
}
