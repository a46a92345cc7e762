//! Connecting several endpoints at once, each with its own result.

use std::collections::HashSet;

use pilothouse_domain::endpoint::ContainerImage;

use crate::types::{EndpointAdded, EndpointDraft, EndpointsAddRequest, EndpointsAdded};
use crate::{Api, ApiError, Code};

/// The longest name of an endpoint, in characters.
const MAX_NAME: usize = 80;

/// Endpoints connected by one call at most.
const MAX_DRAFTS: usize = 5_000;

impl Api {
    /// Connects several endpoints; one that is refused does not keep the others out.
    pub async fn endpoints_add(&self, request: EndpointsAddRequest) -> Result<EndpointsAdded, ApiError> {
        self.add_several(request.drafts, None).await
    }

    /// Connects several endpoints that were found in one image, if in any.
    pub(crate) async fn add_several(
        &self,
        drafts: Vec<EndpointDraft>,
        image: Option<&ContainerImage>,
    ) -> Result<EndpointsAdded, ApiError> {
        if drafts.len() > MAX_DRAFTS {
            let message = format!("{} endpoints are more than {MAX_DRAFTS} at once", drafts.len());
            return Err(ApiError::new(Code::InvalidInput, message));
        }
        let known = self.engine.with_store(pilothouse_store::Store::endpoints).await?;
        let mut taken: HashSet<String> = known.into_iter().map(|endpoint| endpoint.name).collect();
        let mut items = Vec::with_capacity(drafts.len());
        for mut draft in drafts {
            draft.name = unique_name(draft.name.trim(), &taken);
            let name = draft.name.clone();
            items.push(match Box::pin(self.add(draft, image.cloned())).await {
                Ok(id) => {
                    taken.insert(name.clone());
                    EndpointAdded { name, id: Some(id), refused: None }
                }
                Err(error) => EndpointAdded { name, id: None, refused: Some(error.to_string()) },
            });
        }
        Ok(EndpointsAdded { items })
    }
}

/// `name`, or the first of `name-2`, `name-3`, … that is not taken; cut so that it stays a valid name.
pub(crate) fn unique_name(name: &str, taken: &HashSet<String>) -> String {
    let cut = |room: usize| name.chars().take(room).collect::<String>().trim_end().to_owned();
    let whole = cut(MAX_NAME);
    if !taken.contains(&whole) {
        return whole;
    }
    (2..=u32::MAX)
        .map(|number| format!("{}-{number}", cut(MAX_NAME - 11)))
        .find(|name| !taken.contains(name))
        .unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_unique_and_stay_valid() {
        let taken: HashSet<String> = ["iris", "iris-2"].map(str::to_owned).into();
        let check = |name: &str, expect: &str| assert_eq!(unique_name(name, &taken), expect);
        check("churn", "churn");
        check("iris", "iris-3");
        let long = "é".repeat(200);
        let first = unique_name(&long, &HashSet::new());
        assert_eq!(first.chars().count(), MAX_NAME);
        let second = unique_name(&long, &HashSet::from([first.clone()]));
        assert!(second != first && second.chars().count() <= MAX_NAME);
    }
}
