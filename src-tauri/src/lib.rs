//! Desktop shell.
#[tauri::command]
async fn ping() -> &'static str { "pong" }
/// Runs.
pub fn run() { let _ = tauri::Builder::default().invoke_handler(tauri::generate_handler![ping]).run(tauri::generate_context!()); }
