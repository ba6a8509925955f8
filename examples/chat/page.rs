//! The page, as its files are: nothing is built, and nothing comes from elsewhere.

use axum::{
    Router,
    http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    routing::get,
};

pub(crate) fn routes() -> Router {
    let file = |kind: &'static str, body: &'static str| {
        get(async move || {
            (
                [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)],
                body,
            )
        })
    };
    Router::new()
        .route("/", file("text/html", include_str!("page.html")))
        .route("/page.css", file("text/css", include_str!("page.css")))
        .route("/page.js", file("text/javascript", include_str!("page.js")))
}

/// Nothing that people write can run: no script but the page's own, and no text becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
