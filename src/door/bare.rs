//! What is no HTTP is answered by the HTTP library itself, with a bare status. Here it gets the words that every other
//! refusal has. Pure.

use serde_json::json;

/// How such an answer begins and what it says of its body.
const START: &[u8] = b"HTTP/1.1 4";
const NO_BODY: &str = "content-length: 0\r\n";

/// The same answer with a problem document; `None`: it is another answer.
///
/// `head` is the whole head of it; all that this door says itself with such a status has a body.
pub(super) fn worded(head: &[u8]) -> Option<Vec<u8>> {
    if !head.starts_with(START) {
        return None;
    }
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let (before, after) = head.split_once(NO_BODY).or_else(|| head.split_once(NO_BODY.trim_end()))?;
    let (status, title, detail) = words(before.split(' ').nth(1)?)?;
    let problem = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail }).to_string();
    let kind = "content-type: application/problem+json";
    let length = problem.len();
    Some(format!("{before}{kind}\r\ncontent-length: {length}\r\n{after}\r\n\r\n{problem}").into_bytes())
}

fn words(status: &str) -> Option<(u16, &'static str, &'static str)> {
    Some(match status {
        "400" => (
            400,
            "this is no HTTP/1.1 request: its head can't be read",
            "send a request line, header fields and an empty line; this port speaks HTTP/1.1 without TLS",
        ),
        "414" => (414, "the request's target is too long", "send less in the URL"),
        "431" => (431, "the request's head is larger than 32 KiB, or has more than 64 fields", "send fewer headers"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::worded;

    #[test]
    fn only_a_bare_refusal_gets_words() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let answer = String::from_utf8(worded(bare.as_bytes()).expect("it is bare")).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains("connection: close") && head.ends_with("date: now"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        let last = bare.replace("date: now\r\n", "");
        assert!(worded(last.as_bytes()).is_some_and(|answer| answer.ends_with(body.as_bytes())));
        for other in [
            &bare.replace("431", "202"),
            &bare.replace("431", "403"),
            &bare.replace(": 0", ": 9"),
            &bare[..60],
            &format!("{bare}and more"),
            "",
        ] {
            assert_eq!(worded(other.as_bytes()), None, "{other}");
        }
    }
}
