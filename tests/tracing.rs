//! A trace goes with its job, by whichever door it comes: into the outcome, the log and, for those who record it, the
//! exemplars. And a log that says the same over and over says so instead.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod support;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tidegate::simulator::SimulatorSettings;

use support::eventually;
use support::world::{Served, Station, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const LOG: (&str, &str) = ("TIDEGATE_LOG", "info,tidegate::trace=debug");
const OUTCOMES: &str = "[outcomes]\npublish = [\"delivered\"]\nfile = \"outcomes.ndjson\"";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-{flags}")
}

fn job(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","app":"chat","to":[{{"fcm":"token-{id}"}}],"notification":{{"title":"hi"}}{more}}}"#)
}

/// The outcomes in a file, by their jobs' ids, as soon as there are so many.
async fn outcomes(folder: &std::path::Path, count: usize) -> Vec<(String, Option<String>)> {
    eventually("the outcomes are told", || async {
        let text = std::fs::read_to_string(folder.join("outcomes.ndjson")).unwrap_or_default();
        let mut told: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|told| (told["job"].as_str().unwrap().to_owned(), told["traceparent"].as_str().map(str::to_owned)))
            .collect();
        told.sort();
        (told.len() >= count).then_some(told)
    })
    .await
}

fn traced_lines(served: &Served) -> Vec<Value> {
    let lines = served.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.filter(|line| line["target"] == "tidegate::trace").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_comes_by_http_in_the_header_or_in_the_job() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start_with(&station.config(OUTCOMES, "", ""), &[LOG]).await;
    let post = async |header: Option<String>, jobs: String| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("http://{}/v1/jobs", served.address())).body(jobs);
        if let Some(header) = header {
            request = request.header("traceparent", header);
        }
        let answer = request.header("content-type", "application/x-ndjson").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202);
    };
    let own = format!("00-{}-00f067aa0ba902b7-00", TRACE.replace("4b", "aa"));
    let named = job("named", &format!(r#","traceparent":"{own}""#));
    post(Some(parent("01")), format!("{}\n{named}", job("header", ""))).await;
    post(Some("nonsense".to_owned()), job("nonsense", "")).await;
    post(None, job("plain", "")).await;
    let told = outcomes(station.folder.path(), 4).await;
    let expected = [("header", Some(parent("01"))), ("named", Some(own)), ("nonsense", None), ("plain", None)];
    assert_eq!(told, expected.map(|(id, parent)| (id.to_owned(), parent)));

    // Logged is what its caller records.
    let lines = traced_lines(&served);
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    for (key, value) in [
        ("trace_id", TRACE),
        ("parent_id", "00f067aa0ba902b7"),
        ("job", "header"),
        ("route", "chat/fcm"),
        ("outcome", "delivered"),
        ("message", "push ended"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(line["took_ms"].is_u64() && line["timestamp"].is_string() && line["level"] == "DEBUG", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_comes_by_amqp_in_the_headers() {
    let world = World::start(SimulatorSettings::default()).await;
    let config = world.config(OUTCOMES);
    let uri = world.broker.uri();
    let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for (id, header) in [("header", parent("01")), ("nonsense", "00-nonsense".to_owned())] {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(header.into()));
        let properties = lapin::BasicProperties::default().with_headers(headers);
        let (exchange, body) = ("tidegate.jobs".into(), job(id, ""));
        let sent = channel.basic_publish(exchange, "high".into(), Default::default(), body.as_bytes(), properties);
        sent.await.unwrap();
    }
    let served = Served::start_with(&config, &[LOG]).await;
    let told = outcomes(world.folder.path(), 2).await;
    assert_eq!(told, [("header".to_owned(), Some(parent("01"))), ("nonsense".to_owned(), None)]);
    let lines = traced_lines(&served);
    assert_eq!(lines.iter().map(|line| line["trace_id"].clone()).collect::<Vec<_>>(), [TRACE]);
}
