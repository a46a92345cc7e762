//! What an endpoint that generates text is asked, from the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pilothouse_domain::{AnswerCheck, GenerationRoute, Message, Prompt, PromptSet, Role};

use crate::failure::Failure;
use crate::table_file;

/// Prompts of the protocols openai and ollama, and what their answers must satisfy.
#[derive(Debug, Args)]
pub(crate) struct PromptOptions {
    /// openai, ollama: a prompt to send with each probe; several take turns
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// openai, ollama: a JSON file {"prompts": [{"messages": [{"role", "content"}], "checks": [{"kind", …}]}], …}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "system", "max_tokens", "route", "no_stream",
        "expect_contains", "expect_regex", "expect_json", "expect_exact"])]
    prompts_file: Option<PathBuf>,
    /// Instructions that stand above every --prompt
    #[arg(long, value_name = "TEXT", requires = "prompt")]
    system: Option<String>,
    /// Most tokens of an answer, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = PromptSet::MAX_TOKENS_DEFAULT, requires = "prompt")]
    max_tokens: u32,
    /// The route that answers
    #[arg(long, value_enum, default_value_t = RouteWord::Chat, requires = "prompt")]
    route: RouteWord,
    /// Ask for the answer in one piece; then the first token cannot be timed
    #[arg(long, requires = "prompt")]
    no_stream: bool,
    /// The answer must contain this text
    #[arg(long, value_name = "TEXT", requires = "prompt")]
    expect_contains: Vec<String>,
    /// The answer must match this regular expression
    #[arg(long, value_name = "PATTERN", requires = "prompt")]
    expect_regex: Vec<String>,
    /// The answer must be JSON, with these members if any are given
    #[arg(long, value_name = "KEYS", num_args = 0.., value_delimiter = ',', requires = "prompt")]
    expect_json: Option<Vec<String>>,
    /// The answer must be this text
    #[arg(long, value_name = "TEXT", requires = "prompt")]
    expect_exact: Option<String>,
}

/// The routes by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RouteWord {
    /// Messages with roles
    Chat,
    /// A plain prompt that the model continues
    Completions,
}

impl PromptOptions {
    /// The set of prompts, if any is given.
    pub(crate) fn set(&self) -> Result<Option<PromptSet>, Failure> {
        let set = if let Some(path) = &self.prompts_file {
            let text = table_file::read_text(path)?;
            let read = serde_json::from_str(&text);
            read.map_err(|error| Failure::usage(format!("the prompts in {} cannot be read: {error}", path.display())))?
        } else if self.prompt.is_empty() {
            return Ok(None);
        } else {
            self.given()
        };
        PromptSet::validate(&set).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Some(set))
    }

    fn given(&self) -> PromptSet {
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        let prompt = |text: &String| {
            let system = self.system.iter().map(|system| message(Role::System, system));
            Prompt { messages: system.chain([message(Role::User, text)]).collect(), checks: self.checks() }
        };
        PromptSet {
            route: match self.route {
                RouteWord::Chat => GenerationRoute::Chat,
                RouteWord::Completions => GenerationRoute::Completions,
            },
            stream: !self.no_stream,
            max_tokens: self.max_tokens,
            prompts: self.prompt.iter().map(prompt).collect(),
        }
    }

    fn checks(&self) -> Vec<AnswerCheck> {
        let contains = self.expect_contains.iter().map(|text| AnswerCheck::Contains { text: text.clone() });
        let regex = self.expect_regex.iter().map(|pattern| AnswerCheck::Regex { pattern: pattern.clone() });
        let json = self.expect_json.iter().map(|keys| AnswerCheck::Json { required_keys: keys.clone() });
        let exact = self.expect_exact.iter().map(|text| AnswerCheck::Exact { text: text.clone() });
        contains.chain(regex).chain(json).chain(exact).collect()
    }
}
