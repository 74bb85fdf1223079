//! The ledger's page: plain HTTP/1.1 on loopback.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /ledger` | the figures |
//! | `GET /ledger/pushes?provider=&push=&target=&accepted_at_least=&accepted_at_most=&limit=` | single pushes |
//! | `GET /ca.pem` | the certificate authority |

use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::{LedgerSnapshot, PushPage, PushQuery};

#[derive(Clone)]
struct Page {
    ledger: Ledger,
    ca_pem: String,
}

/// Serves the page until the simulator stops.
pub(super) async fn serve(listener: TcpListener, ledger: Ledger, ca_pem: String, stop: CancellationToken) {
    let routes = Router::new()
        .route("/ledger", get(figures))
        .route("/ledger/pushes", get(pushes))
        .route("/ca.pem", get(authority))
        .with_state(Page { ledger, ca_pem });
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

async fn authority(State(page): State<Page>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], page.ca_pem)
}
