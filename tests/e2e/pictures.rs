//! Pictures of the window's screens, light and dark, into the folder that `PILOTHOUSE_SCREENSHOTS` names.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::window::{LATER, Window};

/// Where pictures go, if they are wanted.
pub(crate) struct Pictures(PathBuf);

impl Pictures {
    pub(crate) fn wanted() -> Option<Self> {
        std::env::var_os("PILOTHOUSE_SCREENSHOTS").map(|folder| Self(folder.into()))
    }
}

/// Takes a picture in both themes when pictures are wanted.
pub(crate) trait Take {
    async fn take(&self, window: &Window, name: &str);
}

impl Take for Option<Pictures> {
    async fn take(&self, window: &Window, name: &str) {
        let Some(Pictures(folder)) = self else { return };
        for theme in ["dark", "light"] {
            // The page's own switch lies behind the sheet when that is open; a script reaches it all the same. The charts
            // are drawn by the engine in the theme's colours, so the old ones are to be seen for a moment.
            let switch = "const root = document.documentElement;
                window.old = root.dataset.theme === arguments[0] ? [] : [...document.images].map((image) => image.src);
                document.querySelector(`[aria-label='${arguments[1]} theme']`).click()";
            let label = if theme == "dark" { "Dark" } else { "Light" };
            window.eval(switch, vec![json!(theme), json!(label)]).await;
            window.point_at_nothing().await;
            let drawn = "const images = [...document.images];
                return document.documentElement.dataset.theme === arguments[0]
                && document.querySelector('[aria-busy=true], [data-testid=notice]') === null
                && document.getAnimations().every((animation) => animation.playState !== 'running')
                && images.every((image) => image.complete && image.naturalWidth > 0 && !window.old.includes(image.src))";
            let settled = async || (window.eval(drawn, vec![json!(theme)]).await == json!(true)).then_some(());
            window.until("the page is drawn", LATER, settled).await;
            write(&folder.join(format!("{name}-{theme}.png")), &window.picture().await);
        }
    }
}

fn write(file: &Path, png: &[u8]) {
    std::fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
