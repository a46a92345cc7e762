//! One handler per command of the table in `api`.

use pilothouse_api::{ApiError, types};
use tauri::State;
use tauri::ipc::Invoke;

use crate::shell::Shell;

macro_rules! handlers {
    ($($name:ident($request:ident) -> $response:ident, $doc:literal;)*) => {
        mod commands {
            use super::*;

            $(
                #[doc = $doc]
                #[tauri::command]
                pub(super) async fn $name(shell: State<'_, Shell>, request: types::$request) -> Result<types::$response, ApiError> {
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
