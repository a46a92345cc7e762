//! Settings of this program.

use pilothouse_engine::Topic;
use serde_json::json;

use crate::types::{Empty, Retention, Settings, SettingsView, ThemeChoice};
use crate::{Api, ApiError, Code};

impl Api {
    /// Settings and facts of this program.
    pub async fn settings(&self, _: Empty) -> Result<SettingsView, ApiError> {
        let theme = self.engine.with_store(|store| store.setting("theme")).await?;
        let theme = theme.and_then(|theme| serde_json::from_value(theme).ok()).unwrap_or(ThemeChoice::System);
        let retention = self.engine.retention().await?;
        let retention = Retention {
            raw_days: retention.raw_days,
            minute_days: retention.minute_days,
            hour_days: retention.hour_days,
        };
        let size = |suffix: &str| {
            let mut path = self.database.as_os_str().to_owned();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        Ok(SettingsView {
            settings: Settings { theme, retention },
            database: self.database.display().to_string(),
            database_bytes: size("") + size("-wal"),
            logs: self.logs.as_ref().map(|folder| folder.display().to_string()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Changes the settings.
    pub async fn settings_set(&self, request: Settings) -> Result<SettingsView, ApiError> {
        let Retention { raw_days, minute_days, hour_days } = request.retention;
        let in_order = raw_days >= 1 && raw_days <= minute_days && minute_days <= hour_days && hour_days <= 36_500;
        if !in_order {
            let message =
                format!("kept days must rise: single probes {raw_days}, minutes {minute_days}, hours {hour_days}");
            return Err(ApiError::new(Code::InvalidInput, message).hint(
                "keep single probes at least 1 day, minutes at least as long, and hours at least as long as minutes",
            ));
        }
        let theme = json!(request.theme);
        let retention = json!({ "raw_days": raw_days, "minute_days": minute_days, "hour_days": hour_days });
        self.engine
            .with_store(move |store| {
                store.set_setting("theme", &theme)?;
                store.set_setting("retention", &retention)
            })
            .await?;
        self.engine.announce(Topic::Settings);
        self.settings(Empty {}).await
    }
}
