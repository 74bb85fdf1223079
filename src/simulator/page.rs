//! The ledger's page: plain HTTP/1.1 on loopback.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /ledger` | the figures |
//! | `GET /ledger/pushes?provider=&push=&target=&accepted_at_least=&accepted_at_most=&limit=` | single pushes |
//! | `GET /subscriptions?service=&count=&prefix=` | so many targets at a push service, as they stand in a job's `to` |
//! | `GET /ca.pem` | the certificate authority |

use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::{LedgerSnapshot, PushPage, PushQuery, PushService, Simulator, webpush};
use crate::job::{MAX_TARGETS, Target};

/// What the page shows.
#[derive(Clone)]
pub(super) struct Page {
    ledger: Ledger,
    ca_pem: String,
    seed: u64,
    /// By [`PushService::index`].
    origins: [String; 5],
}

impl Page {
    pub(super) fn new(simulator: &Simulator, ledger: Ledger) -> Self {
        Self {
            ledger,
            ca_pem: simulator.ca_pem().to_owned(),
            seed: simulator.seed(),
            origins: PushService::ALL.map(|service| simulator.webpush_origin(service)),
        }
    }
}

/// Which subscriptions are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// At which push service; all of them in turn if it says nothing.
    service: Option<PushService>,
    /// How many, at most 1,000; 10 if it says nothing.
    count: Option<usize>,
    /// What their ids begin with.
    #[serde(default)]
    prefix: String,
}

/// Serves the page until the simulator stops.
pub(super) async fn serve(listener: TcpListener, page: Page, stop: CancellationToken) {
    let routes = Router::new()
        .route("/ledger", get(figures))
        .route("/ledger/pushes", get(pushes))
        .route("/ca.pem", get(authority))
        .route("/subscriptions", get(subscriptions))
        .with_state(page);
    tokio::select! {
        // It ends only with an error of the listener; the page is then gone, the doors are not.
        served = axum::serve(listener, routes) => drop(served),
        () = stop.cancelled() => {}
    }
}

async fn figures(State(page): State<Page>) -> Json<LedgerSnapshot> {
    Json(page.ledger.snapshot().await)
}

async fn pushes(State(page): State<Page>, Query(query): Query<PushQuery>) -> Json<PushPage> {
    Json(page.ledger.pushes(query).await)
}

async fn subscriptions(State(page): State<Page>, Query(wanted): Query<Wanted>) -> Json<Vec<Target>> {
    let count = wanted.count.unwrap_or(10).min(MAX_TARGETS);
    let target = |nth: usize| {
        let service = wanted.service.unwrap_or(PushService::ALL[nth % PushService::ALL.len()]);
        let origin = &page.origins[service.index()];
        // What can't stand in a path is left out.
        let prefix: String = wanted.prefix.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        Target::Webpush(Box::new(webpush::subscription(page.seed, service, origin, &format!("{prefix}browser-{nth}"))))
    };
    Json((0..count).map(target).collect())
}

async fn authority(State(page): State<Page>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], page.ca_pem)
}
