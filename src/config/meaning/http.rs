//! `[http]`.

use super::{Meaning, is_token};
use crate::config::section::Section;
use crate::config::value::Value;
use crate::pipeline::HttpSettings;

impl Meaning<'_> {
    pub(super) fn http(&mut self, section: &Section) -> Option<HttpSettings> {
        let (listen, tokens) = (section.entry("listen"), section.entry("tokens"));
        let mut found = Vec::new();
        let Some(Value::Secrets(written)) = &tokens.value else { return None };
        for (secret, span) in written {
            match self.follow(tokens, secret, span.as_ref()) {
                Some(token) if is_token(&token) => found.push(token),
                Some(_) => {
                    let remedy = "use visible ASCII characters only: it comes in an HTTP header";
                    self.report.error(
                        &tokens.path,
                        span.as_ref(),
                        "a token has a character that none can have",
                        remedy,
                    );
                }
                None => {}
            }
        }
        let Some(Value::Address(address)) = listen.value else { return None };
        if !address.ip().is_loopback() && written.is_empty() && !tokens.refused {
            let message = "anyone who reaches this address could use the door";
            let remedy = "add tokens = [\"file:/path\"] to [http], or listen on 127.0.0.1";
            self.wrong(listen, (message.to_owned(), remedy.to_owned()));
        }
        let Some(Value::Rate(rate)) = section.entry("rate").value else { return None };
        Some(HttpSettings { listen: address, tokens: found, rate })
    }
}
