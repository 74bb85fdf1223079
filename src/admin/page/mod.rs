//! The dashboard's files, compiled in: a page, its style, its script, and the charts' library (vendored, MIT).
//!
//! They ask for nothing that is not this door's, and a policy (CSP, level 3) has the browser see to that: no foreign host, no
//! inline script or style, no frame around it. There is nothing secret in them, so they are shown without a token; what
//! they show comes from `/v1/stream`, with one.
//!
//! | file | what |
//! | --- | --- |
//! | `index.html`, `style.css` | the page; light and dark, from a wall to a phone |
//! | `app.js` | follows the stream and has each part show its own; the large numbers, the verdict |
//! | `door.js` | requests with the token; the stream, and what is done when it is lost |
//! | `charts.js` | the course of the last ten minutes, with uPlot |
//! | `routes.js` | the table, and a hand on it |
//! | `ends.js` | outcomes and dead letters by reason |
//! | `text.js` | numbers and times as people read them |

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, media type, content.
const FILES: [(&str, &str, &str); 12] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/charts.js", "text/javascript; charset=utf-8", include_str!("charts.js")),
    ("/door.js", "text/javascript; charset=utf-8", include_str!("door.js")),
    ("/ends.js", "text/javascript; charset=utf-8", include_str!("ends.js")),
    ("/routes.js", "text/javascript; charset=utf-8", include_str!("routes.js")),
    ("/text.js", "text/javascript; charset=utf-8", include_str!("text.js")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("/uplot.css", "text/css; charset=utf-8", include_str!("vendor/uplot/uPlot.min.css")),
    ("/uplot.txt", "text/plain; charset=utf-8", include_str!("vendor/uplot/LICENSE")),
    ("/uplot.js", "text/javascript; charset=utf-8", include_str!("vendor/uplot/uPlot.iife.min.js")),
];

/// The files' routes.
pub(super) fn routes() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let tag = tag(content);
        router.route(path, get(move |headers: HeaderMap| std::future::ready(file(&headers, kind, content, &tag))))
    })
}

fn file(asked: &HeaderMap, kind: &'static str, content: &'static str, tag: &HeaderValue) -> Response {
    // RFC 9110, section 13.1.2; one tag is what a browser sends.
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|have| have == tag);
    let headers: [(HeaderName, HeaderValue); 6] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, content).into_response() }
}

fn tag(content: &str) -> HeaderValue {
    let tag = format!("\"{}\"", &hash(content)[..16]);
    HeaderValue::from_str(&tag).expect("hexadecimal digits are a header's value")
}

fn hash(content: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// uPlot 1.6.32 as its package has it (`dist/uPlot.iife.min.js`, `dist/uPlot.min.css`); its licence lies beside it.
    #[test]
    fn the_vendored_library_is_what_was_published() {
        let known = [
            ("/uplot.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
            ("/uplot.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
        ];
        for (path, sha256) in known {
            let (_, _, content) = FILES.into_iter().find(|(known, ..)| *known == path).expect("it is served");
            assert_eq!(hash(content), sha256, "{path}");
        }
    }

    /// What the policy forbids would fail in the browser only; here it is seen at once.
    #[test]
    fn the_page_has_nothing_inline_and_nothing_foreign() {
        for (path, _, content) in FILES {
            if !path.starts_with("/uplot") {
                let foreign = content.replace("http://www.w3.org/2000/svg", "");
                assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path} names a host");
            }
        }
        let (_, _, page) = FILES[0];
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="));
        assert!(page.split("<script").skip(1).all(|script| script.contains(" src=\"")));
    }
}
