//! Endpoints that are taken and that are not: the corpus of hostile ones, by reason.

use super::*;

const CORPUS: &str = include_str!("../../../../tests/corpus/hostile_endpoints.txt");

fn known() -> Services {
    Services::new([]).expect("none is added")
}

fn refusal(text: &str, services: &Services) -> Option<&'static str> {
    read(text, services).err().map(EndpointRefusal::as_str)
}

/// What passes here is refused at the look-up of its address: see `address`. What is no https URL at all does not get so
/// far as a job's target, and would be refused here as well.
#[test]
fn promise_12_every_hostile_endpoint_is_refused_with_its_reason() {
    let mut services = known();
    let mut count = 0;
    for line in CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line == "=== any host" {
            services = Services::new(["*"]).expect("any");
            continue;
        }
        let Some((reason, endpoint)) = line.split_once(' ').filter(|(reason, _)| *reason != "===") else { continue };
        let said = refusal(endpoint, &services);
        match reason {
            "bad_target" if !endpoint.starts_with("HTTPS://") => assert!(said.is_some(), "{endpoint}"),
            "bad_target" | "endpoint_address_not_allowed" => assert_eq!(said, None, "{endpoint}"),
            reason => assert_eq!(said, Some(reason), "{endpoint}"),
        }
        count += 1;
    }
    assert!(count >= 150, "the corpus has shrunk to {count}");
}

#[test]
fn the_endpoints_of_real_browsers_are_taken_as_they_are() {
    for (text, origin, path) in [
        (
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABj-x_y=",
            "https://updates.push.services.mozilla.com",
            "/wpush/v2/gAAAAABj-x_y=",
        ),
        ("https://fcm.googleapis.com/fcm/send/dXyz:APA91b-_", "https://fcm.googleapis.com", "/fcm/send/dXyz:APA91b-_"),
        ("https://fcm.googleapis.com:443/wp/x", "https://fcm.googleapis.com", "/wp/x"),
        ("https://web.push.apple.com/QGd_x-y", "https://web.push.apple.com", "/QGd_x-y"),
        (
            "https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2b%2fx%3d%3d",
            "https://wns2-par02p.notify.windows.com",
            "/w/?token=BQYAAA%2b%2fx%3d%3d",
        ),
        ("https://FCM.googleapis.com/fcm/send/x", "https://fcm.googleapis.com", "/fcm/send/x"),
        ("https://web.push.apple.com", "https://web.push.apple.com", "/"),
    ] {
        let endpoint = read(text, &known()).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert_eq!((endpoint.origin.to_string().as_str(), endpoint.path.as_str()), (origin, path));
    }
}

#[test]
fn what_the_operator_adds_holds_for_that_port_and_no_other() {
    let services = Services::new(["push.example.com:8443", "*.example.net", "[::1]:8443", "10.1.2.3"]).expect("hosts");
    for good in [
        "https://push.example.com:8443/x",
        "https://a.example.net/x",
        "https://a.b.example.net/x",
        "https://[::1]:8443/x",
        "https://10.1.2.3/x",
        "https://fcm.googleapis.com/x",
    ] {
        assert_eq!(refusal(good, &services), None, "{good}");
    }
    for (bad, reason) in [
        ("https://push.example.com/x", "endpoint_port_not_allowed"),
        ("https://a.example.net:8443/x", "endpoint_port_not_allowed"),
        ("https://example.net/x", "endpoint_host_not_allowed"),
        ("https://evilexample.net/x", "endpoint_host_not_allowed"),
        ("https://[::1]/x", "endpoint_port_not_allowed"),
        ("https://10.1.2.4/x", "endpoint_host_not_allowed"),
    ] {
        assert_eq!(refusal(bad, &services), Some(reason), "{bad}");
    }
}

#[test]
fn what_is_no_host_can_not_be_added() {
    for bad in [
        "",
        "*.",
        "*x.example",
        "https://push.example",
        "push.example:0",
        "push.example:x",
        "a..b",
        "a b",
        ".example",
        "127.1",
        "[::1",
    ] {
        assert_eq!(Services::new([bad]), Err(bad.to_owned()), "{bad}");
    }
}

#[test]
fn noise_is_no_panic_and_never_an_endpoint_elsewhere() {
    let alphabet: Vec<char> = "https://@:.[]\\%#?/fcm.googleapis.com0x7f-_*é\t".chars().collect();
    for _ in 0..20_000 {
        let noise: String = (0..fastrand::usize(0..40)).map(|_| alphabet[fastrand::usize(..alphabet.len())]).collect();
        for text in [noise.clone(), format!("https://{noise}"), format!("https://fcm.googleapis.com{noise}")] {
            if let Ok(endpoint) = read(&text, &known()) {
                assert_eq!(endpoint.origin.port, 443, "{text}");
                let host = &*endpoint.origin.host;
                assert!(
                    KNOWN.iter().any(|known| host == *known || (known.starts_with('.') && host.ends_with(known))),
                    "{text}"
                );
            }
        }
    }
}
