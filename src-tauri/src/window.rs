//! The one window. It shows this program's own pages and nothing else.

use tauri::webview::DownloadEvent;
use tauri::{AppHandle, WebviewUrl, WebviewWindowBuilder};

/// Opens the window.
pub(crate) fn open(app: &AppHandle) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, "main", WebviewUrl::App("index.html".into()))
        .title("Pilothouse")
        .inner_size(1280.0, 800.0)
        .min_inner_size(960.0, 600.0)
        .center()
        .on_navigation(is_own_page)
        .on_download(|_, event| match event {
            // The system's download folder, under a name that is not taken yet, is what WebView proposes.
            DownloadEvent::Requested { url, .. } => is_own_blob(&url),
            DownloadEvent::Finished { path, success, .. } => {
                tracing::info!(?path, success, "a picture or table was saved");
                true
            }
            _ => false,
        })
        .build()?;
    Ok(())
}

/// Whether an address belongs to this program: its bundled pages, or the development server in a development build.
fn is_own_page(url: &tauri::Url) -> bool {
    if url.scheme() == "blob" {
        return is_own_blob(url);
    }
    let bundled = url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost");
    let development = url.host_str() == Some("localhost") && url.port() == Some(5173);
    bundled || (tauri::is_dev() && development)
}

/// Whether this is something the page itself made, to be saved: `blob:` and the page's origin.
fn is_own_blob(url: &tauri::Url) -> bool {
    url.scheme() == "blob"
        && url.path().parse().is_ok_and(|inner: tauri::Url| inner.scheme() != "blob" && is_own_page(&inner))
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
        check("blob:tauri://localhost/5d0e7a0c", true);
        check("blob:https://example.com/5d0e7a0c", false);
        check("blob:blob:tauri://localhost/5d0e7a0c", false);
    }
}
