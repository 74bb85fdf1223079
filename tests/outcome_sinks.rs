//! The sinks against real files and a real HTTP receiver: durable when they say so, in order, whatever goes wrong first.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use tidegate::job::Provider;
use tidegate::outcome::{Event, FileSink, OutcomeKind, Sink, Troubles, WebhookSettings, WebhookSink};

fn events(from: usize, count: usize) -> Vec<Event> {
    let json = |nth| Bytes::from(format!(r#"{{"job":"{nth}"}}"#));
    let event =
        |nth| Event { app: "chat".into(), provider: Provider::Apns, kind: OutcomeKind::Failed, json: json(nth) };
    (from..from + count).map(event).collect()
}

#[tokio::test]
async fn a_file_is_appended_and_survives_its_rotation() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let troubles = Troubles::default();
    let path = folder.path().join("logs/outcomes.ndjson");
    let sink = FileSink::new(path.clone(), troubles.clone());
    sink.publish(&events(0, 2)).await;
    sink.publish(&events(2, 1)).await;
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("it is there");
    assert_eq!(read(&path), "{\"job\":\"0\"}\n{\"job\":\"1\"}\n{\"job\":\"2\"}\n");
    std::fs::rename(&path, folder.path().join("logs/outcomes.1")).expect("it is rotated");
    sink.publish(&events(3, 1)).await;
    assert_eq!(read(&path), "{\"job\":\"3\"}\n");
}

#[tokio::test]
async fn a_file_that_cant_be_written_is_tried_again_until_it_can() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("outcomes.ndjson");
    std::fs::create_dir(&path).expect("a folder stands in the way");
    let troubles = Troubles::default();
    let sink = FileSink::new(path.clone(), troubles.clone());
    let publish = tokio::spawn(async move { sink.publish(&events(0, 1)).await });
    // Long enough for a try or two; that it has not ended is what is looked at.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!publish.is_finished(), "a folder is no file");
    assert!(troubles.all()["file"].contains("outcomes.ndjson"), "an operator can see why");
    std::fs::remove_dir(&path).expect("it is empty");
    publish.await.expect("it does not panic");
    assert!(troubles.all().is_empty());
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "{\"job\":\"0\"}\n");
}

/// What the receiver saw: status it answered, authorization, body.
type Seen = Arc<Mutex<Vec<(u16, String, String)>>>;

async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: String) -> StatusCode {
    let mut seen = seen.lock().expect("no test panics with it");
    let status = match seen.len() {
        0 => StatusCode::INTERNAL_SERVER_ERROR,
        1 => StatusCode::TOO_MANY_REQUESTS,
        2 => StatusCode::TEMPORARY_REDIRECT,
        _ => StatusCode::NO_CONTENT,
    };
    let token = headers["authorization"].to_str().expect("it is text").to_owned();
    assert_eq!(headers["content-type"], "application/json");
    seen.push((status.as_u16(), token, body));
    status
}

#[tokio::test]
async fn a_webhook_is_told_in_order_until_it_answers_2xx() {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook?key=secret", listener.local_addr().expect("it is bound"));
    let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = WebhookSettings { url: url.into(), token: Some("bearer-secret".into()), extra_roots: None };
    let sink = WebhookSink::new(settings, Troubles::default()).expect("a good URL");
    sink.publish(&events(0, 2)).await;
    sink.publish(&events(2, 1)).await;
    let seen = seen.lock().expect("it is free");
    let first = r#"[{"job":"0"},{"job":"1"}]"#;
    let bodies: Vec<(u16, &str)> = seen.iter().map(|(status, _, body)| (*status, body.as_str())).collect();
    assert_eq!(bodies, [(500, first), (429, first), (307, first), (204, first), (204, r#"[{"job":"2"}]"#)]);
    assert!(seen.iter().all(|(_, token, _)| token == "Bearer bearer-secret"));
}
