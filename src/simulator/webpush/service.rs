//! The push services that can be played, each in its own words (autopush's `errors.md`, Apple's and Google's answers as
//! their users report them; PROVIDERS.md, 3.4).

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A push service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushService {
    /// autopush.
    Mozilla,
    /// Chrome's, behind `fcm.googleapis.com`.
    Google,
    /// Safari's.
    Apple,
    /// WNS, behind Edge.
    Microsoft,
    /// Nobody's: statuses as RFC 8030 has them, and no words.
    Strict,
}

impl PushService {
    /// All of them, in the order of their [`index`](Self::index).
    pub const ALL: [PushService; 5] =
        [PushService::Mozilla, PushService::Google, PushService::Apple, PushService::Microsoft, PushService::Strict];

    /// Its place in an array of five.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PushService::Mozilla => "mozilla",
            PushService::Google => "google",
            PushService::Apple => "apple",
            PushService::Microsoft => "microsoft",
            PushService::Strict => "strict",
        }
    }

    /// What its endpoints' paths begin with; the subscription's id follows.
    pub(super) const fn path(self) -> &'static str {
        match self {
            PushService::Mozilla => "/wpush/v2/",
            PushService::Google => "/fcm/send/",
            PushService::Apple => "/",
            PushService::Microsoft => "/w/?token=",
            PushService::Strict => "/push/",
        }
    }
}

/// Why a push is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Method,
    NoSuchPath,
    /// Something is wrong with the VAPID token.
    Token(&'static str),
    /// The subscription was made for another key.
    OtherKey,
    MissingTtl,
    BadTtl,
    BadUrgency,
    BadTopic,
    /// Another content coding, or its header is wrong.
    Encoding,
    TooLarge,
    /// It can't be decrypted, or something that must be new was used before; why. Real services can't know.
    Broken(&'static str),
    Gone,
    Throttled,
    Server(u16),
    /// Elsewhere: where nobody must follow.
    Redirect,
    /// An error with a body of ten megabytes.
    Verbose,
}

/// What a refusal looks like.
pub(super) struct Words {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// For the ledger.
    pub(super) reason: String,
}

/// Where redirects lead: the metadata of a cloud.
const ELSEWHERE: &str = "http://169.254.169.254/latest/meta-data/";

/// A body that nobody should read to its end, bytes.
const VERBOSE: usize = 10 << 20;

impl Refusal {
    /// It in a service's words.
    pub(super) fn words(self, service: PushService) -> Words {
        let reason = self.reason().to_owned();
        let plain =
            |status, body: &str| Words { status, headers: Vec::new(), body: body.to_owned(), reason: reason.clone() };
        match self {
            Refusal::Redirect => Words { headers: vec![("location", ELSEWHERE.to_owned())], ..plain(307, "") },
            Refusal::Verbose => plain(400, &"x".repeat(VERBOSE)),
            Refusal::Broken(_) => plain(400, ""),
            _ => match service {
                PushService::Mozilla => self.mozilla(plain(self.status(), "")),
                PushService::Google => plain(self.google_status(), self.google()),
                PushService::Apple => self.apple(plain(self.status(), "")),
                PushService::Microsoft => self.microsoft(plain(self.status(), "")),
                PushService::Strict => plain(self.status(), ""),
            },
        }
    }

    fn status(self) -> u16 {
        match self {
            Refusal::Method => 405,
            Refusal::NoSuchPath => 404,
            Refusal::Token(_) => 401,
            Refusal::OtherKey => 403,
            Refusal::TooLarge => 413,
            Refusal::Gone => 410,
            Refusal::Throttled => 429,
            Refusal::Server(status) => status,
            Refusal::Redirect => 307,
            _ => 400,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Refusal::Method => "method",
            Refusal::NoSuchPath => "no_such_path",
            Refusal::Token(why) | Refusal::Broken(why) => why,
            Refusal::OtherKey => "other_key",
            Refusal::MissingTtl => "missing_ttl",
            Refusal::BadTtl => "bad_ttl",
            Refusal::BadUrgency => "bad_urgency",
            Refusal::BadTopic => "bad_topic",
            Refusal::Encoding => "encoding",
            Refusal::TooLarge => "too_large",
            Refusal::Gone => "gone",
            Refusal::Throttled => "throttled",
            Refusal::Server(_) => "server_error",
            Refusal::Redirect => "redirect",
            Refusal::Verbose => "verbose",
        }
    }

    fn mozilla(self, words: Words) -> Words {
        let (status, errno, message) = match self {
            Refusal::NoSuchPath => (404, 102, "Invalid URL endpoint."),
            Refusal::Token(_) => (401, 109, "Invalid VAPID token"),
            Refusal::OtherKey => (401, 109, "VAPID public key mismatch"),
            Refusal::MissingTtl => (400, 111, "Missing TTL header"),
            Refusal::BadTtl => (400, 114, "Invalid TTL header"),
            Refusal::BadTopic => (400, 113, "Invalid Topic header"),
            Refusal::Encoding => (400, 110, "Invalid content encoding"),
            Refusal::TooLarge => (413, 104, "Data payload must be smaller"),
            Refusal::Gone => (410, 106, "No such subscription"),
            Refusal::Throttled => (429, 201, "Too many messages"),
            Refusal::Server(status) => (status, 201, "Please try again later"),
            _ => (words.status, 999, "Unexpected error"),
        };
        let body = json!({ "code": status, "errno": errno, "error": "Error", "message": message }).to_string();
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if self == Refusal::Gone {
            headers.push(("cache-control", "max-age=86400".to_owned()));
        }
        Words { status, headers, body, ..words }
    }

    fn google_status(self) -> u16 {
        match self {
            Refusal::Token(_) => 403,
            other => other.status(),
        }
    }

    fn google(self) -> &'static str {
        match self {
            Refusal::Token(_) => "invalid JWT provided\n",
            Refusal::OtherKey => {
                "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n"
            }
            Refusal::Gone => "push subscription has unsubscribed or expired.\n",
            Refusal::MissingTtl | Refusal::BadTtl => "invalid ttl provided\n",
            _ => "",
        }
    }

    fn apple(self, words: Words) -> Words {
        let (status, reason) = match self {
            Refusal::Method => (405, "MethodNotAllowed"),
            Refusal::NoSuchPath => (404, "BadPath"),
            Refusal::Token("missing_authorization") => (401, "BadAuthorizationHeader"),
            Refusal::Token(_) => (403, "BadJwtToken"),
            Refusal::OtherKey => (400, "VapidPkHashMismatch"),
            Refusal::MissingTtl | Refusal::BadTtl => (400, "BadTtl"),
            Refusal::BadUrgency => (400, "BadUrgency"),
            Refusal::BadTopic => (400, "BadWebPushTopic"),
            Refusal::Encoding => (400, "BadWebPushRequest"),
            Refusal::TooLarge => (413, "PayloadTooLarge"),
            Refusal::Gone => (410, "ExpiredSubscription"),
            Refusal::Throttled => (429, "TooManyRequests"),
            Refusal::Server(500) => (500, "InternalServerError"),
            Refusal::Server(status) => (status, "ServiceUnavailable"),
            _ => (words.status, "InternalServerError"),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        Words { status, headers, body: json!({ "reason": reason }).to_string(), ..words }
    }

    fn microsoft(self, words: Words) -> Words {
        let status = if self == Refusal::Throttled { 406 } else { words.status };
        let description = self.reason().replace('_', " ");
        let headers = vec![("x-wns-status", "dropped".to_owned()), ("x-wns-error-description", description)];
        Words { status, headers, ..words }
    }
}
