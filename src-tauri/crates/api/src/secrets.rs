//! Secrets: set, forget, ask the state. Nothing reads one back.

use pilothouse_secrets::{KeyringState, SecretString};
use serde_json::json;

use crate::types::{Empty, SecretEntry, SecretList, SecretRequest, SecretSetRequest};
use crate::{Api, ApiError, convert};

impl Api {
    /// Stores a secret in the keyring.
    pub async fn secret_set(&self, request: SecretSetRequest) -> Result<SecretEntry, ApiError> {
        let SecretSetRequest { name, value } = request;
        self.engine.secrets().set(&name, SecretString::from(value)).await?;
        let after = json!({ "secret": name });
        self.engine.record_audit("secret.set", None, "", json!(null), after, json!(null)).await?;
        self.engine.secret_changed(&name).await;
        self.secret_state(SecretRequest { name }).await
    }

    /// Removes a secret from the keyring.
    pub async fn secret_forget(&self, request: SecretRequest) -> Result<SecretEntry, ApiError> {
        self.engine.secrets().forget(&request.name).await?;
        let before = json!({ "secret": request.name });
        self.engine.record_audit("secret.forget", None, "", before, json!(null), json!(null)).await?;
        self.engine.secret_changed(&request.name).await;
        self.secret_state(request).await
    }

    /// Whether a secret is stored.
    pub async fn secret_state(&self, request: SecretRequest) -> Result<SecretEntry, ApiError> {
        let state = convert::secret_state(self.engine.secrets().state(&request.name).await);
        let mut used = self.engine.secret_names().await?;
        Ok(SecretEntry { state, used_by: used.remove(&request.name).unwrap_or_default(), name: request.name })
    }

    /// Every secret that an endpoint refers to.
    pub async fn secrets(&self, _: Empty) -> Result<SecretList, ApiError> {
        let keyring = self.engine.secrets().availability().await;
        let mut secrets = Vec::new();
        for (name, used_by) in self.engine.secret_names().await? {
            let state = convert::secret_state(self.engine.secrets().state(&name).await);
            secrets.push(SecretEntry { name, state, used_by });
        }
        let advice = match keyring {
            KeyringState::Unlocked => None,
            KeyringState::Locked => Some("Unlock the keyring: log in to the desktop session, or answer its prompt."),
            KeyringState::Unavailable => Some(
                "No keyring answers. On Linux start one that provides the Secret Service (gnome-keyring, KWallet, KeePassXC). \
                 Endpoints without a credential work meanwhile.",
            ),
        };
        Ok(SecretList { keyring: convert::keyring_state(keyring), advice: advice.map(str::to_owned), secrets })
    }
}
