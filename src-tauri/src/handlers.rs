//! One handler per command of the table in `api`.

use pilothouse_api::ApiError;
use tauri::State;
use tauri::ipc::Invoke;

use crate::shell::Shell;

#[expect(clippy::wildcard_imports, reason = "the table of commands names every request and response")]
use pilothouse_api::types::*;

macro_rules! handlers {
    ($($name:ident($request:ident) -> $response:ident, $doc:literal;)*) => {
        mod commands {
            use super::*;

            $(
                #[doc = $doc]
                #[tauri::command]
                pub(super) async fn $name(shell: State<'_, Shell>, request: $request) -> Result<$response, ApiError> {
                    shell.api().await?.$name(request).await
                }
            )*
        }

        /// Every command, for Tauri.
        pub(crate) fn all() -> impl Fn(Invoke) -> bool + Send + Sync + 'static {
            tauri::generate_handler![$(commands::$name),*]
        }
    };
}

pilothouse_api::commands!(handlers);
