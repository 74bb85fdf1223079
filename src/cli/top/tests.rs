use super::line::{PLAIN, narrow};
use super::picture::picture;
use super::plain;
use super::shown::Shown;
use serde_json::json;

fn shown() -> Shown {
    let mut shown = Shown::default();
    shown.status(json!({
        "version": "0.1.0", "uptime_seconds": 3_700, "ready": true, "reasons": ["outcomes can't be told: file: disk full", "route chat/fcm: x"],
        "sources": [{"source": "spool", "dead": 12}], "memory": {"limit_bytes": 268_435_456_u64},
        "outcomes": {"delivered": 1_234_567, "rejected": 3, "failed": 0},
        "outcome_reasons": [{"outcome": "rejected", "reason": "BadTopic\u{1b}[2J", "count": 3}],
        "routes": [
            {"app": "chat", "provider": "apns", "state": "ready", "says": "flowing", "in_flight": 12, "concurrency_limit": 34,
             "waiting": [{"lane": "high", "pushes": 5, "oldest_seconds": 2.5}]},
            {"app": "chat", "provider": "fcm", "state": "paused", "says": "throttled by the provider", "rate": 500.0,
             "reason": "429 of the provider", "until": "2026-11-25T10:34:05.000Z"}
        ]
    }));
    for delivered in [0.0, 50.0, 100.0] {
        shown.second(json!({
            "at": 1_795_602_845_000_u64, "delivered": [delivered, 0.0, 0.0], "waiting": [5, 0, 0], "oldest_s": [2.5, 0.0, 0.0],
            "latency_ms": [[20.0, 30.0, 45.0], [20.0, 30.0, 45.0], null, null], "in_flight": 12, "queued": 70,
            "routes": {"chat/apns": {"delivered": delivered, "attempts": delivered}}
        }));
    }
    shown
}

#[test]
fn the_picture_says_what_each_route_does_why_not_and_until_when() {
    let text = picture(&shown(), PLAIN).join("\n");
    for part in [
        "1 of 2 routes held back",
        "up 62 min",
        "outcomes can't be told: file: disk full",
        "▁▅█",
        "◆ throttled by the provider, until 10:34:05 UTC",
        "429 of the provider",
        "12 of 34",
        "70 jobs on disk",
        "1,234,567",
        "20 ms / 30 ms / 45 ms",
        "12 dead letters in the spool",
    ] {
        assert!(text.contains(part), "{part} is in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "others' words steer no terminal");
}

#[test]
fn it_fits_in_a_small_window_and_says_that_it_was_cut() {
    let lines = picture(&shown(), narrow(40, 10));
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:#?}");
    assert!(lines[9].contains("more lines"), "{lines:#?}");
}

#[test]
fn lines_for_scripts_have_names_and_values() {
    let text = plain::lines(&shown());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains(" route=* ready=true delivered=100.0 "), "{text}");
    assert!(lines[0].contains(" p99_ms=45 queued=70 "), "{text}");
    assert!(lines[1].contains(" route=chat/apns state=ready delivered=100.0 "), "{text}");
    assert!(lines[2].contains(" route=chat/fcm state=paused delivered=0.0 "), "{text}");
}

#[test]
fn another_version_s_status_is_shown_as_far_as_it_goes() {
    let mut shown = Shown::default();
    shown.status(json!({"routes": [{"app": "chat"}], "something": "new"}));
    let text = picture(&shown, PLAIN).join("\n");
    assert!(text.contains("chat/"), "{text}");
}
