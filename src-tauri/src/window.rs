//! The one window. It shows this program's own pages and nothing else.

use tauri::{AppHandle, WebviewUrl, WebviewWindowBuilder};

/// Opens the window.
pub(crate) fn open(app: &AppHandle) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, "main", WebviewUrl::App("index.html".into()))
        .title("Pilothouse")
        .inner_size(1280.0, 800.0)
        .min_inner_size(960.0, 600.0)
        .center()
        .on_navigation(is_own_page)
        .build()?;
    Ok(())
}

/// Whether an address belongs to this program: its bundled pages, or the development server in a development build.
fn is_own_page(url: &tauri::Url) -> bool {
    let bundled = url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost");
    let development = url.host_str() == Some("localhost") && url.port() == Some(5173);
    bundled || (tauri::is_dev() && development)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pages_are_not_shown() {
        let check = |url: &str, expect: bool| assert_eq!(is_own_page(&url.parse().expect("URL")), expect, "{url}");
        check("tauri://localhost/index.html", true);
        check("http://tauri.localhost/", true);
        check("https://example.com/", false);
        check("file:///etc/passwd", false);
        check("http://localhost:8080/", false);
    }
}
