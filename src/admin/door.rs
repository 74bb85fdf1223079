//! The router behind the door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, patch, post};
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::jobs as ask;
use super::letters::{self, Letters};
use super::live::{self, Live};
use super::{page, patch as change, scrape};
use crate::door::{DoorLimits, Jobs, Problem, check_origin, guard};
use crate::pipeline::{HttpSettings, Intake, NotPatched, Steering, View};

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
    steering: Steering,
    intake: Option<Intake>,
    stop: CancellationToken,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), AdminError> {
    if !settings.listen.ip().is_loopback() && settings.tokens.is_empty() {
        return Err(AdminError::Unguarded(settings.listen));
    }
    let bind = |error| AdminError::Bind(settings.listen, error);
    let listener = crate::door::listen(settings.listen).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let limits = DoorLimits::default();
    let jobs = match intake {
        None => Router::new().route("/v1/jobs", any(no_spool)),
        Some(Intake { writer, routes, shedding, closed }) => crate::door::routes(Jobs {
            writer,
            routes,
            shedding,
            closed,
            rate: settings.rate,
            listen: address,
            tokens: !settings.tokens.is_empty(),
            limits,
            metrics: Arc::clone(&view.metrics),
        }),
    };
    let live = Live::start(view.clone(), stop.clone());
    let letters = Letters::of(&view);
    let steered = Steered { steering, live, letters, listen: address, patience: limits.body_pause };
    let router = router(view, steered, settings.tokens.clone(), jobs);
    Ok((address, tokio::spawn(crate::door::serve(listener, router, limits, stop))))
}

/// What is behind the doors of operators.
#[derive(Clone)]
struct Steered {
    steering: Steering,
    live: Live,
    letters: Letters,
    listen: SocketAddr,
    /// How long a body may take.
    patience: Duration,
}

fn router(view: View, steered: Steered, tokens: Vec<SecretString>, jobs: Router) -> Router {
    let asks_for_tokens = !tokens.is_empty();
    let steer = patch(move |State(steered): State<Steered>, Path((app, provider)): Path<(String, String)>, request| {
        change_route(steered, app, provider, asks_for_tokens, request)
    });
    let guarded = Router::new()
        .route("/metrics", get(scrape::metrics))
        .route("/v1/status", get(status))
        .route("/v1/jobs/{id}", get(ask::job))
        .with_state(view.clone())
        .merge(operated(steer, asks_for_tokens).with_state(steered))
        .merge(jobs)
        .route_layer(middleware::from_fn_with_state(Arc::new(tokens), guard));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(view)
        .merge(guarded)
        .merge(page::routes())
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
}

/// What an operator looks at, and has a hand on.
fn operated(steer: MethodRouter<Steered>, tokens: bool) -> Router<Steered> {
    let stream = move |State(steered): State<Steered>, headers: HeaderMap| async move {
        check_origin(&headers, steered.listen, tokens)?;
        live::stream(&steered.live)
    };
    let tap = move |State(steered): State<Steered>, RawQuery(query): RawQuery, headers: HeaderMap| async move {
        check_origin(&headers, steered.listen, tokens)?;
        live::tap(&steered.live, &query.unwrap_or_default())
    };
    let dead = move |State(steered): State<Steered>, headers: HeaderMap| async move {
        check_origin(&headers, steered.listen, tokens)?;
        steered.letters.count().await.map(Json)
    };
    let replay = move |State(steered): State<Steered>, request: Request| async move {
        check_origin(request.headers(), steered.listen, tokens)?;
        let body = whole(request, letters::LARGEST, steered.patience).await?;
        steered.letters.replay(&body).await.map(Json)
    };
    Router::new()
        .route("/v1/routes/{app}/{provider}", steer)
        .route("/v1/stream", get(stream))
        .route("/v1/tap", get(tap))
        .route("/v1/dead", get(dead))
        .route("/v1/dead/replay", post(replay))
}

/// A body, whole and in time.
async fn whole(request: Request, largest: usize, patience: Duration) -> Result<Bytes, Problem> {
    let too_large = |_| {
        let title = format!("the body is larger than {largest} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title, "send only what is needed")
    };
    let too_slow = |_| {
        let title = format!("the body did not come within {} s", patience.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, title, "send all of it at once")
    };
    let body = axum::body::to_bytes(request.into_body(), largest);
    tokio::time::timeout(patience, body).await.map_err(too_slow)?.map_err(too_large)
}

async fn no_spool() -> Problem {
    let title = "jobs are not taken in over HTTP: there is no [source.spool] in the configuration";
    Problem::new(StatusCode::NOT_FOUND, title, "add [source.spool], or publish to the broker")
}

async fn no_such_path(uri: Uri) -> Problem {
    let title = format!("there is nothing at {:?}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, title, "see README for what the door answers to")
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let title = format!("{:?} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, title, "use one of the methods in the Allow header")
}

async fn readyz(State(view): State<View>) -> Response {
    let (ready, reasons) = view.readiness();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "reasons": reasons}))).into_response()
}

async fn status(State(view): State<View>) -> Response {
    Json(view.status()).into_response()
}

async fn change_route(steered: Steered, app: String, provider: String, tokens: bool, request: Request) -> Response {
    match try_change_route(&steered, &app, &provider, tokens, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_change_route(
    steered: &Steered,
    app: &str,
    provider: &str,
    tokens: bool,
    request: Request,
) -> Result<Response, Problem> {
    check_origin(request.headers(), steered.listen, tokens)?;
    let body = whole(request, change::LARGEST, steered.patience).await?;
    let patch = change::read(&body)?;
    match steered.steering.patch(app, provider, &patch) {
        Ok(orders) => {
            let answer = change::answer(app, provider, &orders);
            tracing::info!(route = %format_args!("{app}/{provider}"), now = %answer, "route changed by an operator, until the next reload or restart");
            Ok(Json(answer).into_response())
        }
        Err(NotPatched::Concurrency(bounds)) => Err(change::contradiction(bounds)),
        Err(NotPatched::NoRoute) => {
            let title = format!("there is no route {app:?}/{provider:?}");
            Err(Problem::new(StatusCode::NOT_FOUND, title, "see the routes in /v1/status"))
        }
    }
}
