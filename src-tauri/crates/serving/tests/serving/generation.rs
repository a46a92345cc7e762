//! Endpoints that generate text: streams as vLLM, llama.cpp, transformers serve and Ollama send them, and their failures.

use std::time::Duration;

use pilothouse_domain::{
    AnswerCheck, FinishReason, Generation, GenerationRoute, Outcome, PromptSet, Protocol, Target, TargetFailure,
    TokenCount, UnknownReason, VersionId,
};
use pilothouse_serving::ProbeReport;
use pilothouse_testkit::{Behaviour, FakeServer, RecordedRequest, Reply, StreamEnd, prompt_set, target};
use serde_json::json;

use crate::support::{client_of, failed};

const VLLM_STREAM: &str = include_str!("../data/vllm-0.32.0-stream.txt");
const VLLM_CHAT: &str = include_str!("../data/vllm-0.32.0-chat.json");
const VLLM_MODELS: &str = include_str!("../data/vllm-0.32.0-models.json");
const LLAMA_STREAM: &str = include_str!("../data/llama-b11434-stream.txt");
const LLAMA_CHAT: &str = include_str!("../data/llama-b11434-chat.json");
const LLAMA_MODELS: &str = include_str!("../data/llama-b11434-models.json");
const TRANSFORMERS_STREAM: &str = include_str!("../data/transformers-5.19-stream.txt");

/// A pause between pieces that is far longer than what a loopback takes.
const PAUSE: Duration = Duration::from_millis(20);

/// The events of a stream, each in a chunk of its own after a pause.
fn events(stream: &str) -> Vec<(Duration, Vec<u8>)> {
    stream.split_inclusive("\n\n").map(|event| (PAUSE, event.as_bytes().to_vec())).collect()
}

fn sse(pieces: Vec<(Duration, Vec<u8>)>, end: StreamEnd) -> Behaviour {
    let head = Reply::bytes(200, Vec::new()).with_header("content-type", "text/event-stream; charset=utf-8");
    Behaviour::Stream(head, pieces, end)
}

fn openai(models: Behaviour, chat: Behaviour) -> Behaviour {
    Behaviour::routes([("/v1/models", models), ("/v1/chat/completions", chat)])
}

fn target_of(server: &FakeServer, protocol: Protocol, model: Option<&str>, prompts: PromptSet) -> Target {
    Target { model: model.map(str::to_owned), prompts: Some(prompts), ..target(server.url(), protocol) }
}

async fn probe(behaviour: Behaviour, prompts: PromptSet) -> (ProbeReport, Vec<RecordedRequest>) {
    let server = FakeServer::start(behaviour).await;
    let report = client_of(&target_of(&server, Protocol::OpenAi, Some("tiny"), prompts)).probe(false).await;
    (report, server.requests())
}

fn generation(report: &ProbeReport) -> &Generation {
    report.generation.as_deref().unwrap_or_else(|| panic!("an answer was measured: {report:?}"))
}

#[tokio::test]
async fn llama_cpp_streams_and_every_number_is_measured() {
    let chat = sse(events(LLAMA_STREAM), StreamEnd::Complete);
    let (report, requests) = probe(openai(Behaviour::json(LLAMA_MODELS), chat), prompt_set(&["hello"], &[])).await;
    assert_eq!((report.outcome, report.version.clone()), (Outcome::Ok, Some(VersionId::from("tiny"))), "{report:?}");
    let found = generation(&report);
    assert_eq!(found.text, "wn\u{fffd}wn");
    assert_eq!(found.finish_reason, Some(FinishReason::Length));
    assert_eq!((found.prompt_tokens, found.completion_tokens), (Some(17), Some(3)));
    assert_eq!((found.server.prompt_us, found.server.generate_us), (Some(735), Some(542)));
    assert_eq!(found.token_count, TokenCount::Server);
    // The head comes at once and the first piece, whose content is null, after a pause: neither is the first token.
    let pause_us = PAUSE.as_micros() as u32;
    let first = found.first_token_us.unwrap();
    assert!(first >= 2 * pause_us && first <= report.total_us.unwrap(), "{found:?}");
    // A timer fires a little early or late; the pieces come one pause apart.
    let gap = found.inter_token_us.unwrap();
    assert!(gap >= pause_us / 2 && found.inter_token_p95_us.unwrap() >= gap, "{found:?}");
    let rate = found.tokens_per_second.unwrap();
    assert!(rate > 0.0 && rate < 2.0 * 1e6 / f64::from(pause_us), "{found:?}");

    let chat = requests.iter().find(|request| request.path() == "/v1/chat/completions").unwrap();
    assert_eq!(chat.header("accept"), Some("text/event-stream"));
    assert_eq!(chat.header("accept-encoding"), Some("identity"), "a compressor would hold pieces back");
    assert_eq!(chat.json()["temperature"], json!(0));
}

#[tokio::test]
async fn vllm_tells_where_its_weights_come_from_and_empty_pieces_are_no_tokens() {
    let chat = sse(events(VLLM_STREAM), StreamEnd::Complete);
    let (report, _) = probe(openai(Behaviour::json(VLLM_MODELS), chat), prompt_set(&["hello"], &[])).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert_eq!(report.version, Some(VersionId::from("/srv/models/tiny-v1")));
    let found = generation(&report);
    assert_eq!((found.first_token_us, found.inter_token_us, found.tokens_per_second), (None, None, None));
    assert_eq!((found.text.as_str(), found.completion_tokens), ("", Some(4)));
}

#[tokio::test]
async fn a_stream_that_just_ends_is_fine_and_its_list_of_models_may_fail() {
    let models = Reply::bytes(500, b"Internal Server Error".to_vec()).with_header("content-type", "text/plain");
    let chat = sse(events(TRANSFORMERS_STREAM), StreamEnd::Complete);
    let (report, _) = probe(openai(models.into(), chat), prompt_set(&["hello"], &[])).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert_eq!(report.version, Some(VersionId::from("/srv/models/tiny-v1@main")));
    assert_eq!(generation(&report).completion_tokens, Some(3));
}

#[tokio::test]
async fn answers_in_one_piece_are_measured_as_far_as_they_can_be() {
    let whole = PromptSet { stream: false, ..prompt_set(&["hello"], &[]) };
    let (report, requests) = probe(openai(Behaviour::json(LLAMA_MODELS), Behaviour::json(LLAMA_CHAT)), whole).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    let found = generation(&report);
    assert_eq!((found.first_token_us, found.inter_token_us), (None, None));
    assert_eq!(found.completion_tokens, Some(8));
    // llama.cpp says that it generated for 1.372 ms.
    assert!((found.tokens_per_second.unwrap() - 8.0 * 1e6 / 1372.0).abs() < 1.0, "{found:?}");
    let paths: Vec<&str> = requests.iter().map(RecordedRequest::path).collect();
    assert_eq!(paths, ["/v1/models", "/v1/chat/completions"], "the list just read is not asked for again");
    assert_eq!(requests[1].json()["stream"], json!(false));

    // A server that ignores the wish for a stream.
    let answers = openai(Behaviour::json(VLLM_MODELS), Behaviour::json(VLLM_CHAT));
    let (report, _) = probe(answers, prompt_set(&["hello"], &[])).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert_eq!(generation(&report).finish_reason, Some(FinishReason::Length));
    assert_eq!(generation(&report).first_token_us, None);
}

#[tokio::test]
async fn plain_prompts_go_to_the_other_route() {
    let answer = r#"{"model":"tiny","choices":[{"index":0,"text":"mp","finish_reason":"length"}]}"#;
    let behaviour = Behaviour::routes([
        ("/v1/models", Behaviour::json(VLLM_MODELS)),
        ("/v1/completions", sse(events(&format!("data: {answer}\n\ndata: [DONE]\n\n")), StreamEnd::Complete)),
    ]);
    let plain = PromptSet { route: GenerationRoute::Completions, ..prompt_set(&["Once upon"], &[]) };
    let (report, requests) = probe(behaviour, plain).await;
    assert_eq!((report.outcome, generation(&report).text.as_str()), (Outcome::Ok, "mp"), "{report:?}");
    assert_eq!(generation(&report).token_count, TokenCount::Pieces);
    let asked = requests.iter().find(|request| request.path() == "/v1/completions").unwrap();
    assert_eq!(asked.json()["prompt"], json!("Once upon"));
}

#[tokio::test]
async fn failures_in_the_middle_keep_what_came() {
    let piece = |text: &str| (PAUSE, format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"));
    let begun = || [piece("a"), piece("b")].map(|(pause, text)| (pause, text.into_bytes())).to_vec();
    let with = |last: &str| {
        let mut pieces = begun();
        pieces.push((PAUSE, last.as_bytes().to_vec()));
        pieces
    };
    let check = async |name: &str, chat: Behaviour, expect: TargetFailure, detail: &str| {
        let (report, _) = probe(openai(Behaviour::json(VLLM_MODELS), chat), prompt_set(&["hello"], &[])).await;
        assert_eq!(report.outcome, failed(expect), "{name}: {report:?}");
        let said = report.detail.clone().unwrap();
        assert!(said.contains("after 2 pieces of text") && said.contains(detail), "{name}: {said}");
        assert_eq!(generation(&report).text, "ab", "{name}");
        assert!(generation(&report).first_token_us.is_some(), "{name}");
    };
    let oom = r#"data: {"error":{"message":"CUDA out of memory","type":"InternalServerError","code":500}}"#;
    let error = sse(with(&format!("{oom}\n\ndata: [DONE]\n\n")), StreamEnd::Complete);
    check("error", error, TargetFailure::ServerError, "CUDA out of memory").await;
    check("reset", sse(begun(), StreamEnd::Reset), TargetFailure::ConnectionReset, "").await;
    check("silence", sse(begun(), StreamEnd::Silent), TargetFailure::TotalTimeout, "time limit").await;
    let garbage = sse(with("data: <html>\n\n"), StreamEnd::Complete);
    check("garbage", garbage, TargetFailure::BodyMalformed, "not JSON").await;
    let aborted =
        sse(with("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\n"), StreamEnd::Complete);
    check("abort", aborted, TargetFailure::ServerError, "gave up").await;
}

#[tokio::test]
async fn endless_and_empty_streams_have_their_outcomes() {
    let check = async |chat: Behaviour, expect: TargetFailure| {
        let (report, _) = probe(openai(Behaviour::json(VLLM_MODELS), chat), prompt_set(&["hello"], &[])).await;
        assert_eq!(report.outcome, failed(expect), "{report:?}");
        assert_eq!(report.generation, None);
    };
    check(sse(Vec::new(), StreamEnd::Complete), TargetFailure::ProtocolViolation).await;
    check(sse(events(": keep-alive\n\n"), StreamEnd::Silent), TargetFailure::TotalTimeout).await;
    let endless = vec![(Duration::ZERO, b"data: x".repeat(20_000)); 3];
    check(sse(endless, StreamEnd::Complete), TargetFailure::ResponseTooLarge).await;
}

#[tokio::test]
async fn answers_are_checked_and_prompts_take_turns() {
    let chat = Behaviour::answer(|request| {
        let asked = request.json()["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        let text = if asked == "capital" { "It is Paris." } else { "no idea" };
        Behaviour::json(&json!({"model": "tiny", "choices": [{"message": {"content": text}}]}).to_string())
    });
    let server = FakeServer::start(openai(Behaviour::json(VLLM_MODELS), chat)).await;
    let checks = [AnswerCheck::Contains { text: "Paris".into() }, AnswerCheck::Regex { pattern: r"\.$".into() }];
    let prompts = prompt_set(&["capital", "weather"], &checks);
    let client = client_of(&target_of(&server, Protocol::OpenAi, None, prompts));
    for _ in 0..2 {
        let good = client.probe(false).await;
        assert_eq!((good.outcome, generation(&good).prompt), (Outcome::Ok, 0), "{good:?}");
        assert!(generation(&good).checks.iter().all(|checked| checked.problem.is_none()));
        let bad = client.probe(false).await;
        assert_eq!(bad.outcome, failed(TargetFailure::CheckFailed), "{bad:?}");
        let detail = bad.detail.clone().unwrap();
        assert!(detail.contains("prompt 2 does not contain “Paris”") && detail.contains("no idea"), "{detail}");
        assert_eq!(generation(&bad).checks.iter().filter(|checked| checked.problem.is_some()).count(), 2);
    }
    assert!(
        server
            .requests()
            .iter()
            .filter(|request| request.path() == "/v1/chat/completions")
            .all(|request| { request.json()["model"] == json!("tiny") }),
        "the only model listed is the one asked"
    );
}

#[tokio::test]
async fn a_server_started_anew_with_other_weights_is_noticed() {
    let models = |root: &str| Behaviour::json(&VLLM_MODELS.replace("tiny-v1", root));
    let chat = || Behaviour::json(VLLM_CHAT);
    let server = FakeServer::start(openai(models("tiny-v1"), chat())).await;
    let client = client_of(&target_of(&server, Protocol::OpenAi, Some("tiny"), prompt_set(&["hello"], &[])));
    assert_eq!(client.probe(false).await.version, Some(VersionId::from("/srv/models/tiny-v1")));
    // The new server serves from the next connection on; the old connections are closed.
    server.set(openai(models("tiny-v2"), Behaviour::Reply(Reply::json(200, VLLM_CHAT).then_close())));
    let mut version = None;
    for _ in 0..20 {
        version = client.probe(false).await.version;
        if version == Some(VersionId::from("/srv/models/tiny-v2")) {
            return;
        }
    }
    panic!("still {version:?}");
}

#[tokio::test]
async fn statuses_keep_their_meaning() {
    let check = async |status: u16, body: &str, expect: TargetFailure| {
        let chat = Behaviour::status(status, body);
        let (report, _) = probe(openai(Behaviour::json(LLAMA_MODELS), chat), prompt_set(&["hello"], &[])).await;
        assert_eq!((report.outcome, report.http_status), (failed(expect), Some(status)), "{report:?}");
        assert_eq!(report.generation, None);
    };
    let missing = r#"{"error":{"message":"The model `nope` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}"#;
    check(404, missing, TargetFailure::ModelNotFound).await;
    let router = r#"{"error":{"code":400,"message":"model 'tiny-v9' not found","type":"invalid_request_error"}}"#;
    check(400, router, TargetFailure::ModelNotFound).await;
    check(400, r#"{"detail":"Server is pinned to '/m'; requested 'nope'."}"#, TargetFailure::ModelNotFound).await;
    let tokens = r#"{"error":{"message":"max_tokens=9999 cannot be greater than max_model_len=256","code":400}}"#;
    check(400, tokens, TargetFailure::RequestRejected).await;
    let key = r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#;
    check(401, key, TargetFailure::Unauthorized).await;
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    check(503, loading, TargetFailure::NotReady).await;
}

#[tokio::test]
async fn without_prompts_only_the_list_of_models_is_asked() {
    let server = FakeServer::start(openai(Behaviour::json(VLLM_MODELS), Behaviour::status(500, ""))).await;
    let check = async |model: Option<&str>, expect: Outcome| {
        let target = Target { model: model.map(str::to_owned), ..target(server.url(), Protocol::OpenAi) };
        assert_eq!(client_of(&target).probe(false).await.outcome, expect, "{model:?}");
    };
    check(None, Outcome::Ok).await;
    check(Some("tiny"), Outcome::Ok).await;
    check(Some("nope"), failed(TargetFailure::ModelNotFound)).await;
    let rows = pilothouse_testkit::number_table(&["x"], &[&[1.0]]);
    let refused = client_of(&target(server.url(), Protocol::OpenAi)).predict(&rows).await.unwrap_err();
    assert_eq!(refused.outcome, Outcome::Unknown(UnknownReason::Misconfigured));
    assert!(server.requests().iter().all(|request| request.path() == "/v1/models"));
}

#[tokio::test]
async fn ollama_streams_lines_and_its_own_durations() {
    let tags = r#"{"models":[{"name":"llama3.2:latest","digest":"a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"}]}"#;
    let line = |text: &str| {
        format!(
            "{{\"model\":\"llama3.2\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        )
    };
    let end = r#"{"model":"llama3.2","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":3,"eval_duration":4535599000}"#;
    let answer = |last: Option<&str>| {
        let head = Reply::bytes(200, Vec::new()).with_header("content-type", "application/x-ndjson");
        let mut pieces: Vec<_> = ["The", " sky"].map(|text| (PAUSE, line(text).into_bytes())).to_vec();
        pieces.extend(last.map(|last| (PAUSE, last.as_bytes().to_vec())));
        let chat = Behaviour::Stream(head, pieces, StreamEnd::Complete);
        Behaviour::routes([("/api/tags", Behaviour::json(tags)), ("/api/chat", chat)])
    };
    let server = FakeServer::start(answer(Some(end))).await;
    let client = client_of(&target_of(&server, Protocol::Ollama, Some("llama3.2"), prompt_set(&["Why?"], &[])));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.version.clone()), (Outcome::Ok, Some(VersionId::from("a80c4f17acd5"))));
    let found = generation(&report);
    assert_eq!((found.text.as_str(), found.finish_reason), ("The sky", Some(FinishReason::Stop)));
    assert_eq!((found.prompt_tokens, found.completion_tokens), (Some(26), Some(3)));
    assert_eq!(
        (found.server.load_us, found.server.prompt_us, found.server.generate_us),
        (Some(1_334), Some(342_546), Some(4_535_599))
    );
    assert!(found.first_token_us.is_some() && found.inter_token_us.is_some());

    // Ollama always closes with `done`; without it the answer was cut off.
    server.set(answer(None));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::ConnectionReset), "{report:?}");
    assert_eq!(generation(&report).text, "The sky");
    server.set(answer(Some(r#"{"error":"llama runner process has terminated"}"#)));
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::ServerError));
}

#[tokio::test]
async fn a_compressed_stream_is_decoded_piece_by_piece() {
    let head = Reply::bytes(200, Vec::new()).with_header("content-type", "text/event-stream");
    let head = head.with_gzip_body(LLAMA_STREAM.as_bytes());
    let server = FakeServer::start(openai(Behaviour::json(LLAMA_MODELS), Behaviour::Reply(head))).await;
    let client = client_of(&target_of(&server, Protocol::OpenAi, None, prompt_set(&["hello"], &[])));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, generation(&report).completion_tokens), (Outcome::Ok, Some(3)), "{report:?}");
}

#[tokio::test]
async fn a_model_that_wants_other_words_is_asked_again_at_once() {
    let refused = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#;
    let chat = Behaviour::answer(move |request| match request.json().get("max_completion_tokens") {
        None => Behaviour::status(400, refused),
        Some(_) => Behaviour::json(VLLM_CHAT),
    });
    let server = FakeServer::start(openai(Behaviour::json(LLAMA_MODELS), chat)).await;
    let set = PromptSet { stream: false, ..prompt_set(&["hello"], &[]) };
    let client = client_of(&target_of(&server, Protocol::OpenAi, None, set));
    for asked in [2, 3] {
        let report = client.probe(false).await;
        assert_eq!((report.outcome, report.http_status), (Outcome::Ok, Some(200)), "{report:?}");
        let chats = server.requests().iter().filter(|request| request.path() == "/v1/chat/completions").count();
        assert_eq!(chats, asked, "what was learned is kept");
    }
    // A server that refuses both words is told as it is, after both were tried.
    server.set(openai(Behaviour::json(LLAMA_MODELS), Behaviour::status(400, refused)));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.http_status), (failed(TargetFailure::RequestRejected), Some(400)), "{report:?}");
}
