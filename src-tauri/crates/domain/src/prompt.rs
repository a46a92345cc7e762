//! What an endpoint that generates text is asked with each probe, and what its answer must satisfy.
//!
//! What must stay true: a prompt set that [`PromptSet::validate`] accepts can be sent as it stands and its checks can be
//! carried out; a pattern of any text is compiled within a bound of memory.

use std::ops::RangeInclusive;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::endpoint::InvalidSetting;

/// Most prompts of one set. They take turns, so that a hundred already take 25 minutes at the usual interval.
const PROMPTS_MAX: usize = 100;
/// Longest text of one message, in bytes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// Most bytes that one compiled pattern may take.
const PATTERN_MAX_BYTES: usize = 1024 * 1024;
/// Tokens that may be asked for.
const TOKENS: RangeInclusive<u32> = 1..=4096;

/// Prompts that take turns, one with each probe, and how they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptSet {
    /// Which of the server's two routes is asked.
    #[serde(default)]
    pub route: GenerationRoute,
    /// Whether the answer is asked for piece by piece. Without it neither the first token nor the gaps between tokens
    /// can be timed.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Most tokens of an answer, 1 to 4096. Small, because every probe costs them.
    #[serde(default = "sixteen")]
    pub max_tokens: u32,
    /// The prompts, 1 to 100.
    pub prompts: Vec<Prompt>,
}

const fn yes() -> bool {
    true
}

const fn sixteen() -> u32 {
    PromptSet::MAX_TOKENS_DEFAULT
}

/// Which route of a server generates the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationRoute {
    /// Messages with roles, to which the server applies the model's chat template.
    #[default]
    Chat,
    /// A plain prompt that the model continues.
    Completions,
}

/// One prompt with what its answer must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The messages in order, at least one; for [`GenerationRoute::Completions`] exactly one of the user.
    pub messages: Vec<Message>,
    /// All of these must hold.
    #[serde(default)]
    pub checks: Vec<AnswerCheck>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person.
    User,
    /// The model, in an example of what it shall say.
    Assistant,
}

impl Role {
    /// The word used on the wire and in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// What an answer must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerCheck {
    /// The answer contains this text, capitals told apart.
    Contains {
        /// The text.
        text: String,
    },
    /// The regular expression is found in the answer (syntax of the Rust crate `regex`).
    Regex {
        /// The expression.
        pattern: String,
    },
    /// The answer, without surrounding blanks, is JSON.
    Json {
        /// If there are any, it must be an object with these members.
        #[serde(default)]
        required_keys: Vec<String>,
    },
    /// The answer is this text; blanks around either do not count.
    Exact {
        /// The text.
        text: String,
    },
}

impl AnswerCheck {
    /// What is asked for, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Contains { text } => format!("contains “{text}”"),
            Self::Regex { pattern } => format!("matches /{pattern}/"),
            Self::Json { required_keys } if required_keys.is_empty() => "is JSON".to_owned(),
            Self::Json { required_keys } => format!("is JSON with {}", required_keys.join(", ")),
            Self::Exact { text } => format!("is exactly “{text}”"),
        }
    }

    /// Judges an answer; `Err` says why it fails. A check that cannot be carried out fails.
    pub fn judge(&self, answer: &str) -> Result<(), String> {
        let answer = answer.trim();
        match self {
            Self::Contains { text } if answer.contains(text.as_str()) => Ok(()),
            Self::Contains { text } => Err(format!("does not contain “{text}”")),
            Self::Regex { pattern } => match compile(pattern) {
                Ok(regex) if regex.is_match(answer) => Ok(()),
                Ok(_) => Err(format!("does not match /{pattern}/")),
                Err(problem) => Err(problem),
            },
            Self::Json { required_keys } => judge_json(answer, required_keys),
            Self::Exact { text } if answer == text.trim() => Ok(()),
            Self::Exact { text } => Err(format!("is not “{}”", text.trim())),
        }
    }
}

fn judge_json(answer: &str, required_keys: &[String]) -> Result<(), String> {
    let json: serde_json::Value = serde_json::from_str(answer).map_err(|error| format!("is not JSON: {error}"))?;
    if required_keys.is_empty() {
        return Ok(());
    }
    let members = json.as_object().ok_or_else(|| "is JSON but not an object".to_owned())?;
    match required_keys.iter().find(|key| !members.contains_key(key.as_str())) {
        None => Ok(()),
        Some(key) => Err(format!("is JSON without the member “{key}”")),
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_MAX_BYTES)
        .dfa_size_limit(PATTERN_MAX_BYTES)
        .build()
        .map_err(|error| format!("/{pattern}/ is no usable regular expression: {error}"))
}

impl PromptSet {
    /// [`Self::max_tokens`] where a person does not say.
    pub const MAX_TOKENS_DEFAULT: u32 = 16;

    /// Checks every setting. The first problem found is returned, named as in the configuration file.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: String| Err(InvalidSetting { field, problem });
        if !TOKENS.contains(&self.max_tokens) {
            let problem = format!("must lie between {} and {}; got {}", TOKENS.start(), TOKENS.end(), self.max_tokens);
            return invalid("prompts.max_tokens", problem);
        }
        if !(1..=PROMPTS_MAX).contains(&self.prompts.len()) {
            return invalid("prompts.prompts", format!("must be 1 to {PROMPTS_MAX}; got {}", self.prompts.len()));
        }
        for (number, prompt) in (1..).zip(&self.prompts) {
            let is_plain = matches!(prompt.messages.as_slice(), [Message { role: Role::User, .. }]);
            if self.route == GenerationRoute::Completions && !is_plain {
                let problem =
                    format!("of prompt {number} must be a single one of the user, for the route takes a plain prompt");
                return invalid("prompts.messages", problem);
            }
            if prompt.messages.iter().all(|message| message.content.trim().is_empty()) {
                return invalid(
                    "prompts.messages",
                    format!("of prompt {number} say nothing; write what shall be asked"),
                );
            }
            if prompt.messages.iter().any(|message| message.content.len() > MESSAGE_MAX_BYTES) {
                let problem = format!("of prompt {number} must have at most {MESSAGE_MAX_BYTES} bytes each");
                return invalid("prompts.messages", problem);
            }
            for check in &prompt.checks {
                match check {
                    AnswerCheck::Contains { text } if text.is_empty() => {
                        return invalid("prompts.checks", format!("of prompt {number} look for an empty text"));
                    }
                    AnswerCheck::Regex { pattern } => {
                        if let Err(problem) = compile(pattern) {
                            return invalid("prompts.checks", format!("of prompt {number} cannot be used: {problem}"));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(route: GenerationRoute, messages: &[(Role, &str)], checks: Vec<AnswerCheck>) -> PromptSet {
        let messages = messages.iter().map(|&(role, content)| Message { role, content: content.to_owned() }).collect();
        PromptSet { route, stream: true, max_tokens: 16, prompts: vec![Prompt { messages, checks }] }
    }

    #[test]
    fn answers_are_judged() {
        let check = |check: AnswerCheck, answer: &str, expect: bool| {
            assert_eq!(check.judge(answer).is_ok(), expect, "{} for {answer:?}", check.describe());
        };
        let contains = || AnswerCheck::Contains { text: "Paris".into() };
        check(contains(), "It is Paris.", true);
        check(contains(), "It is paris.", false);
        let regex = |pattern: &str| AnswerCheck::Regex { pattern: pattern.into() };
        check(regex("(?i)^it is p"), " It is Paris.", true);
        check(regex(r"\d"), "none", false);
        check(regex("("), "(", false);
        let json = |keys: &[&str]| AnswerCheck::Json { required_keys: keys.iter().map(|&key| key.into()).collect() };
        check(json(&[]), "\n [1, 2] ", true);
        check(json(&[]), "```json\n[1]\n```", false);
        check(json(&["a", "b"]), r#"{"a": 1, "b": null, "c": 2}"#, true);
        check(json(&["a", "b"]), r#"{"a": 1}"#, false);
        check(json(&["a"]), "[1]", false);
        check(AnswerCheck::Exact { text: " ready ".into() }, "ready\n", true);
        check(AnswerCheck::Exact { text: "ready".into() }, "Ready", false);
    }

    #[test]
    fn what_cannot_be_sent_or_checked_is_refused() {
        let check = |set: PromptSet, expect: Option<&str>| {
            assert_eq!(set.validate().err().map(|error| error.field), expect, "{set:?}");
        };
        let chat = |checks| set(GenerationRoute::Chat, &[(Role::System, "Be brief."), (Role::User, "Hello")], checks);
        check(chat(Vec::new()), None);
        check(chat(vec![AnswerCheck::Regex { pattern: "(a|b)+$".into() }]), None);
        check(chat(vec![AnswerCheck::Regex { pattern: "(".into() }]), Some("prompts.checks"));
        check(chat(vec![AnswerCheck::Regex { pattern: "((a{1000}){1000}){1000}".into() }]), Some("prompts.checks"));
        check(chat(vec![AnswerCheck::Contains { text: String::new() }]), Some("prompts.checks"));
        check(set(GenerationRoute::Completions, &[(Role::User, "Once")], Vec::new()), None);
        check(
            set(GenerationRoute::Completions, &[(Role::System, "Be brief."), (Role::User, "Once")], Vec::new()),
            Some("prompts.messages"),
        );
        check(set(GenerationRoute::Chat, &[(Role::User, " ")], Vec::new()), Some("prompts.messages"));
        check(set(GenerationRoute::Chat, &[], Vec::new()), Some("prompts.messages"));
        check(PromptSet { max_tokens: 0, ..chat(Vec::new()) }, Some("prompts.max_tokens"));
        check(PromptSet { max_tokens: 4097, ..chat(Vec::new()) }, Some("prompts.max_tokens"));
        check(PromptSet { prompts: Vec::new(), ..chat(Vec::new()) }, Some("prompts.prompts"));
    }

    #[test]
    fn little_needs_to_be_written() {
        let text = r#"{"prompts": [{"messages": [{"role": "user", "content": "Hello"}]}]}"#;
        let read: PromptSet = serde_json::from_str(text).unwrap();
        assert_eq!(read, set(GenerationRoute::Chat, &[(Role::User, "Hello")], Vec::new()));
    }
}
