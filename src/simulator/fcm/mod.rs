//! FCM and its token endpoint: what Google would answer (Firebase, "FCM HTTP v1 API", "ErrorCode", "Throttling and
//! quotas").
//!
//! ```text
//! POST /token ─▶ oauth
//! POST /v1/projects/<p>/messages:send ─▶ bearer ─▶ project ─▶ message (schema) ─▶ quota ─▶ token's state ─▶ 200
//! ```

mod message;
mod oauth;
mod status;

use std::time::Duration;

use bytes::Bytes;

use self::message::Wanted;
use self::oauth::TokenEndpoint;
use self::status::Refusal;
use super::quota::{Devices, Meter};
use super::{Circumstances, CredentialState, Door, Farewell, FcmDoorSettings, Injected, OnExcess, Reply, Request};
use crate::job::Provider;

/// The token endpoint's path.
pub(super) const TOKEN_PATH: &str = "/token";

/// The door.
pub(super) struct FcmDoor {
    settings: FcmDoorSettings,
    seed: u64,
    tokens: TokenEndpoint,
    quota: Meter,
    devices: Devices,
    accepted: u64,
}

impl FcmDoor {
    /// A door whose token endpoint is at `token_uri` and knows keys by their public half (DER, PKCS #1).
    pub(super) fn new(settings: FcmDoorSettings, token_uri: String, public: Vec<u8>, seed: u64) -> Self {
        let tokens = TokenEndpoint::new(token_uri, public, settings.token_lifetime);
        Self { settings, seed, tokens, quota: Meter::default(), devices: Devices::default(), accepted: 0 }
    }

    fn send(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Reply {
        let wanted = message::read(&request.body);
        let judged = self.judge(request, wanted.as_ref(), circumstances);
        let mut reply = match judged {
            Ok(project) => self.accept(project),
            Err(refusal) => refusal.reply(circumstances.injected, request.wall),
        };
        if let Ok(wanted) = wanted {
            reply.push = Some(wanted.push_id(&request.body));
            reply.target = Some(wanted.target);
        }
        reply
    }

    fn accept(&mut self, project: &str) -> Reply {
        self.accepted += 1;
        let name = format!("projects/{project}/messages/{}-{}", self.seed, self.accepted);
        let body = Bytes::from(serde_json::json!({ "name": name }).to_string());
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        Reply { accepted: true, headers, body, ..Reply::new(200) }
    }

    fn judge<'a>(
        &mut self,
        request: &'a Request,
        wanted: Result<&Wanted, &Refusal>,
        circumstances: Circumstances<'_>,
    ) -> Result<&'a str, Refusal> {
        let project = project(&request.path).ok_or(Refusal::NoSuchMethod)?;
        if request.method != "POST" {
            return Err(Refusal::NoSuchMethod);
        }
        self.authorise(request, project, circumstances.faults.credentials)?;
        if !self.settings.projects.is_empty() && !self.settings.projects.iter().any(|known| known == project) {
            return Err(Refusal::NoSuchProject);
        }
        if let Some(quota) = circumstances.faults.quota {
            let taken = self.quota.take(quota, request.at);
            taken.map_err(|wait| Refusal::Quota { wait: quota.retry_after.then_some(wait) })?;
        }
        let wanted = wanted.map_err(Refusal::clone)?;
        match circumstances.injected {
            Some(Injected::Throttle(_)) => return Err(Refusal::Quota { wait: None }),
            Some(Injected::ServerError(error)) => return Err(Refusal::Server(error.status)),
            None => {}
        }
        self.state(&wanted.target, circumstances)?;
        if !self.devices.take(&wanted.target, self.settings.device_rate, request.at) {
            return Err(Refusal::DeviceRate);
        }
        Ok(project)
    }

    fn authorise(&mut self, request: &Request, project: &str, state: CredentialState) -> Result<(), Refusal> {
        let bearer = request.header("authorization").and_then(|header| header.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
        let owner = bearer.and_then(|token| self.tokens.project_of(token, request.wall));
        match (state, owner) {
            (CredentialState::Expired, _) | (_, None) => Err(Refusal::Unauthenticated),
            (CredentialState::Refused, _) => Err(Refusal::PermissionDenied),
            (CredentialState::AsTheyAre, Some(owner)) if owner != project => Err(Refusal::PermissionDenied),
            (CredentialState::AsTheyAre, Some(_)) => Ok(()),
        }
    }

    fn state(&self, target: &str, circumstances: Circumstances<'_>) -> Result<(), Refusal> {
        let begins = |prefix: &str| !prefix.is_empty() && target.starts_with(prefix);
        if begins(&self.settings.malformed_prefix) {
            return Err(Refusal::MalformedToken);
        }
        if begins(&self.settings.foreign_prefix) {
            return Err(Refusal::SenderIdMismatch);
        }
        if begins(&self.settings.dead_ios_prefix) {
            return Err(Refusal::DeadIos);
        }
        if begins(&self.settings.platform_prefix) {
            return Err(Refusal::ThirdPartyAuth);
        }
        if circumstances.faults.dead_tokens.contains(target, self.seed) {
            return Err(Refusal::Unregistered);
        }
        Ok(())
    }
}

fn project(path: &str) -> Option<&str> {
    let project = path.strip_prefix("/v1/projects/")?.strip_suffix("/messages:send")?;
    (!project.is_empty() && !project.contains('/')).then_some(project)
}

impl Door for FcmDoor {
    fn provider(&self) -> Provider {
        Provider::Fcm
    }

    fn speaks_http1(&self) -> bool {
        true
    }

    fn full_stream_limit(&self) -> u32 {
        self.settings.stream_limit
    }

    fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    fn idle_farewell(&self) -> Farewell {
        Farewell { code: 0, debug: "session_timed_out".to_owned() }
    }

    fn on_excess(&self) -> Option<Farewell> {
        let debug = "exceeded_max_concurrent_streams".to_owned();
        (self.settings.on_excess == OnExcess::GoAway).then_some(Farewell { code: 1, debug })
    }

    fn fast_reply(&self) -> Reply {
        let body = Bytes::from_static(br#"{"name":"projects/fast/messages/0"}"#);
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        Reply { headers, body, ..Reply::new(200) }
    }

    fn is_push(&self, path: &str) -> bool {
        path != TOKEN_PATH
    }

    fn answer(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Reply {
        match request.path.as_str() {
            TOKEN_PATH => self.tokens.answer(request, circumstances.faults.token_endpoint),
            _ => self.send(request, circumstances),
        }
    }

    fn closed(&mut self, _connection: u64) {}
}
