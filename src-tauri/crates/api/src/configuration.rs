//! The set-up as configuration: export, compare, apply.

use pilothouse_config::{FieldChange, GoldenSetChange, Problem, SourceFile};
use pilothouse_engine::{Comparison, EngineError};
use serde_json::Value;

use crate::types::{
    ConfigApplyRequest, ConfigChange, ConfigDiff, ConfigField, ConfigFile, ConfigFiles, ConfigGoldenSetChange,
    ConfigGoldenSets, ConfigProblem, ConfigSecret, ConfigText, Empty, SecretState,
};
use crate::{Api, ApiError, convert};

/// What an exported file is called.
const FILE_NAME: &str = "pilothouse.toml";

impl Api {
    /// The whole set-up as one TOML file.
    pub async fn config_export(&self, _: Empty) -> Result<ConfigText, ApiError> {
        let configuration = self.engine.configuration().await?;
        let text = blocking(move || pilothouse_config::write_file(&configuration)).await?;
        Ok(ConfigText { file_name: FILE_NAME.to_owned(), text: text.map_err(EngineError::from)? })
    }

    /// The whole set-up as the files of a folder.
    pub async fn config_folder(&self) -> Result<Vec<ConfigFile>, ApiError> {
        let configuration = self.engine.configuration().await?;
        let files = blocking(move || pilothouse_config::write_folder(&configuration)).await?;
        let files = files.map_err(EngineError::from)?;
        Ok(files.into_iter().map(|SourceFile { path, text }| ConfigFile { path, text }).collect())
    }

    /// What a configuration would change. One that cannot be read gives its problems.
    pub async fn config_diff(&self, request: ConfigFiles) -> Result<ConfigDiff, ApiError> {
        let comparison = match self.engine.compare_configuration(&sources(request.files)).await {
            Ok(comparison) => comparison,
            Err(error) => match error.configuration_problems() {
                Some(problems) => return Ok(unreadable(problems)),
                None => return Err(error.into()),
            },
        };
        let Comparison { wanted, difference, revision } = comparison;
        let secrets = self.engine.missing_secrets(&wanted).await;
        Ok(ConfigDiff {
            problems: Vec::new(),
            differs: !difference.is_empty(),
            revision,
            endpoints: wanted.endpoints.len() as u32,
            added: difference.added,
            changed: difference
                .changed
                .into_iter()
                .map(|change| ConfigChange { name: change.name, fields: fields(change.fields) })
                .collect(),
            only_in_database: difference.only_in_database,
            settings: fields(difference.settings),
            golden_sets: ConfigGoldenSets {
                added: difference.golden_sets_added,
                changed: difference.golden_sets_changed.into_iter().map(golden_set_change).collect(),
                only_in_database: difference.golden_sets_only_in_database,
            },
            missing_secrets: secrets
                .missing
                .into_iter()
                .map(|(name, used_by)| ConfigSecret { name, used_by })
                .collect(),
            keyring: convert::keyring_state(secrets.keyring),
        })
    }

    /// Carries a configuration over, all of it or nothing. Refused when the set-up is not the one of `revision` any more.
    pub async fn config_apply(&self, request: ConfigApplyRequest) -> Result<Empty, ApiError> {
        let comparison = self.engine.compare_configuration(&sources(request.files)).await?;
        self.engine.apply_configuration(comparison.wanted, &request.revision, request.prune).await?;
        Ok(Empty {})
    }
}

/// Large golden sets take a while to be written and read back.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|error| EngineError::Internal(error.to_string()))?)
}

fn sources(files: Vec<ConfigFile>) -> Vec<SourceFile> {
    files.into_iter().map(|ConfigFile { path, text }| SourceFile { path, text }).collect()
}

fn unreadable(problems: &[Problem]) -> ConfigDiff {
    let problem = |problem: &Problem| ConfigProblem {
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        key: problem.key.clone(),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    };
    ConfigDiff {
        problems: problems.iter().map(problem).collect(),
        differs: false,
        revision: String::new(),
        endpoints: 0,
        added: Vec::new(),
        changed: Vec::new(),
        only_in_database: Vec::new(),
        settings: Vec::new(),
        golden_sets: ConfigGoldenSets { added: Vec::new(), changed: Vec::new(), only_in_database: Vec::new() },
        missing_secrets: Vec::new(),
        keyring: SecretState::Present,
    }
}

fn fields(changes: Vec<FieldChange>) -> Vec<ConfigField> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let field =
        |change: FieldChange| ConfigField { path: change.path, old: change.old.map(text), new: change.new.map(text) };
    changes.into_iter().map(field).collect()
}

fn golden_set_change(change: GoldenSetChange) -> ConfigGoldenSetChange {
    let refused = change.content.is_some();
    let field = |path: &str, change: Option<(String, String)>| {
        change.map(|(old, new)| ConfigField { path: path.to_owned(), old: Some(old), new: Some(new) })
    };
    let fields = [field("content", change.content), field("source", change.source)];
    ConfigGoldenSetChange { name: change.name, fields: fields.into_iter().flatten().collect(), refused }
}
