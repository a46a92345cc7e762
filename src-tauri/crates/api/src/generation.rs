//! The Health tab of an endpoint that generates text: how fast it was, and what it said last.

use pilothouse_domain::{EndpointId, PromptSet, Role};
use pilothouse_store::Quantiles;

use crate::types::{GenerationQuantiles, GenerationSummary, LastAnswer, RangeRequest};
use crate::{Api, ApiError, convert, prompts};

impl Api {
    /// How fast a range's answers were generated, and the last of them.
    pub async fn generation(&self, request: RangeRequest) -> Result<GenerationSummary, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let (summary, last) = self
            .engine
            .with_store(move |store| Ok((store.generation_summary(id, from, to)?, store.last_answer(id)?)))
            .await?;
        Ok(GenerationSummary {
            n: summary.n,
            first_token_us: quantiles(summary.first_token_us),
            inter_token_us: quantiles(summary.inter_token_us),
            tokens_per_second: quantiles(summary.tokens_per_second),
            last: last.map(|last| LastAnswer {
                at_ms: last.at.0,
                asked: asked(endpoint.target.prompts.as_ref(), last.generation.prompt),
                result: prompts::generation_result(&last.generation),
            }),
        })
    }
}

const fn quantiles(Quantiles { p05, p50, p95, p99 }: Quantiles) -> GenerationQuantiles {
    GenerationQuantiles { p05, p50, p95, p99 }
}

/// What the person says last in the prompt of this number.
fn asked(set: Option<&PromptSet>, number: u32) -> Option<String> {
    let prompt = set?.prompts.get(number as usize)?;
    prompt.messages.iter().rev().find(|message| message.role == Role::User).map(|message| message.content.clone())
}
