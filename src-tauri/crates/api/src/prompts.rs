//! Prompts and generated answers, from the domain's words to the border's and back.

use pilothouse_domain::{AnswerCheck, Generation, GenerationRoute, Message, Prompt, PromptSet, Role, TokenCount};

use crate::types::{AnswerCheckDraft, CheckedAnswer, GenerationResult, MessageDraft, PromptDraft, PromptSetDraft};
use crate::{ApiError, Code};

/// A set as a person edited it. Its ranges are checked with the rest of the endpoint.
pub(crate) fn read(draft: PromptSetDraft) -> Result<PromptSet, ApiError> {
    let route = match draft.route.as_str() {
        "chat" => GenerationRoute::Chat,
        "completions" => GenerationRoute::Completions,
        other => return Err(unknown("route", other, "chat or completions")),
    };
    let prompts = draft.prompts.into_iter().map(prompt).collect::<Result<_, _>>()?;
    Ok(PromptSet { route, stream: draft.stream, max_tokens: draft.max_tokens, prompts })
}

fn unknown(what: &str, word: &str, known: &str) -> ApiError {
    ApiError::new(Code::InvalidInput, format!("`{word}` is no {what} of a prompt")).hint(format!("use {known}"))
}

fn prompt(draft: PromptDraft) -> Result<Prompt, ApiError> {
    let message = |MessageDraft { role, content }| {
        let known = [Role::System, Role::User, Role::Assistant].into_iter().find(|known| known.as_str() == role);
        let role = known.ok_or_else(|| unknown("role", &role, "system, user or assistant"))?;
        Ok::<_, ApiError>(Message { role, content })
    };
    let messages = draft.messages.into_iter().map(message).collect::<Result<_, _>>()?;
    let check = |check| match check {
        AnswerCheckDraft::Contains { text } => AnswerCheck::Contains { text },
        AnswerCheckDraft::Regex { pattern } => AnswerCheck::Regex { pattern },
        AnswerCheckDraft::Json { required_keys } => AnswerCheck::Json { required_keys },
        AnswerCheckDraft::Exact { text } => AnswerCheck::Exact { text },
    };
    Ok(Prompt { messages, checks: draft.checks.into_iter().map(check).collect() })
}

/// A set as a person edits it.
pub fn prompt_set_draft(set: &PromptSet) -> PromptSetDraft {
    let check = |check: &AnswerCheck| match check.clone() {
        AnswerCheck::Contains { text } => AnswerCheckDraft::Contains { text },
        AnswerCheck::Regex { pattern } => AnswerCheckDraft::Regex { pattern },
        AnswerCheck::Json { required_keys } => AnswerCheckDraft::Json { required_keys },
        AnswerCheck::Exact { text } => AnswerCheckDraft::Exact { text },
    };
    let message =
        |message: &Message| MessageDraft { role: message.role.as_str().to_owned(), content: message.content.clone() };
    let prompt = |prompt: &Prompt| PromptDraft {
        messages: prompt.messages.iter().map(message).collect(),
        checks: prompt.checks.iter().map(check).collect(),
    };
    PromptSetDraft {
        route: match set.route {
            GenerationRoute::Chat => "chat",
            GenerationRoute::Completions => "completions",
        }
        .to_owned(),
        stream: set.stream,
        max_tokens: set.max_tokens,
        prompts: set.prompts.iter().map(prompt).collect(),
    }
}

/// What an answer measured, for the window and the command line.
pub fn generation_result(generation: &Generation) -> GenerationResult {
    let checks = generation
        .checks
        .iter()
        .map(|checked| CheckedAnswer { check: checked.check.clone(), problem: checked.problem.clone() });
    GenerationResult {
        first_token_us: generation.first_token_us,
        inter_token_us: generation.inter_token_us,
        inter_token_p95_us: generation.inter_token_p95_us,
        tokens_per_second: generation.tokens_per_second,
        token_count: match generation.token_count {
            TokenCount::Pieces => "pieces",
            TokenCount::Server => "server",
        }
        .to_owned(),
        finish_reason: generation.finish_reason.map(|reason| reason.as_str().to_owned()),
        prompt_tokens: generation.prompt_tokens,
        completion_tokens: generation.completion_tokens,
        server_load_us: generation.server.load_us,
        server_prompt_us: generation.server.prompt_us,
        server_generate_us: generation.server.generate_us,
        prompt: generation.prompt,
        text: generation.text.clone(),
        text_cut: generation.text_cut,
        checks: checks.collect(),
    }
}
