//! The router behind the door.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{HttpSettings, View};

/// Why the door could not be opened. Nothing was started.
#[derive(Debug)]
pub enum AdminError {
    /// The address is not loopback, and no token is configured.
    Unguarded(SocketAddr),
    /// The address can't be listened on.
    Bind(SocketAddr, std::io::Error),
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AdminError::Unguarded(address) => {
                write!(
                    f,
                    "http.listen = \"{address}\" is not loopback and http.tokens is empty; set tokens, or listen on 127.0.0.1"
                )
            }
            AdminError::Bind(address, error) => write!(f, "http.listen = \"{address}\": {error}"),
        }
    }
}

impl std::error::Error for AdminError {}

/// Opens the door and serves until `stop`. Returns where it listens, and the task.
///
/// # Errors
/// If the address can't be listened on, or would stand open to the network.
pub async fn serve(
    settings: &HttpSettings,
    view: View,
    stop: CancellationToken,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), AdminError> {
    if !settings.listen.ip().is_loopback() && settings.tokens.is_empty() {
        return Err(AdminError::Unguarded(settings.listen));
    }
    let bind = |error| AdminError::Bind(settings.listen, error);
    let listener = TcpListener::bind(settings.listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let router = router(view, settings.tokens.clone());
    let task = tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin door closed");
        }
    });
    Ok((address, task))
}

fn router(view: View, tokens: Vec<SecretString>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route_layer(middleware::from_fn_with_state(Arc::new(tokens), guard));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .with_state(view)
}

async fn guard(State(tokens): State<Arc<Vec<SecretString>>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if tokens.is_empty() || tokens.iter().any(|token| same(token.expose_secret(), given)) {
        return next.run(request).await;
    }
    let problem = json!({"type": "about:blank", "title": "a bearer token is needed", "status": 401});
    let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, headers, problem.to_string()).into_response()
}

/// Compares in a time that depends on nothing but the lengths: digests of both are compared by a MAC's verification.
fn same(token: &str, given: &str) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, token.as_bytes());
    let tag = ring::hmac::sign(&key, token.as_bytes());
    ring::hmac::verify(&key, given.as_bytes(), tag.as_ref()).is_ok()
}

async fn readyz(State(view): State<View>) -> Response {
    let (ready, reasons) = view.readiness();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "reasons": reasons}))).into_response()
}

async fn metrics(State(view): State<View>) -> Response {
    view.metrics.memory_held(view.memory.bytes());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], view.metrics.render()).into_response()
}

async fn status(State(view): State<View>) -> Response {
    Json(view.status()).into_response()
}
