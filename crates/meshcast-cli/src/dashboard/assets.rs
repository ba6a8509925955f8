//! The page itself: ES modules as they are written. There is no framework and no build of their
//! own, so nothing of npm is needed to build the command, nothing has to be kept up to date, and
//! what is served is what is read here.

/// A file, by its path at the server and its media type.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) media_type: &'static str,
    pub(super) body: &'static str,
}

const fn script(path: &'static str, body: &'static str) -> Asset {
    Asset {
        path,
        media_type: "text/javascript; charset=utf-8",
        body,
    }
}

/// All files of the page.
pub(super) const ASSETS: [Asset; 11] = [
    Asset {
        path: "/",
        media_type: "text/html; charset=utf-8",
        body: include_str!("assets/index.html"),
    },
    Asset {
        path: "/page/style.css",
        media_type: "text/css; charset=utf-8",
        body: include_str!("assets/style.css"),
    },
    script("/page/main.js", include_str!("assets/main.js")),
    script("/page/live.js", include_str!("assets/live.js")),
    script("/page/dom.js", include_str!("assets/dom.js")),
    script("/page/map.js", include_str!("assets/map.js")),
    script("/page/layout.js", include_str!("assets/layout.js")),
    script("/page/world.js", include_str!("assets/world.js")),
    script("/page/tables.js", include_str!("assets/tables.js")),
    script("/page/panel.js", include_str!("assets/panel.js")),
    script("/page/tail.js", include_str!("assets/tail.js")),
];
