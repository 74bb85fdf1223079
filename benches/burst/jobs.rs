//! The jobs of a burst: a chat message, some 400 bytes of JSON, of which an Apple device gets some 250.

use crate::amqp::Message;

/// Whose targets the jobs name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    Apns,
    Fcm,
}

impl Aim {
    pub const fn name(self) -> &'static str {
        match self {
            Aim::Apns => "apns",
            Aim::Fcm => "fcm",
        }
    }
}

/// What jobs look like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub aim: Aim,
    pub targets: u64,
    /// The jobs are those of so many apps, in turn.
    pub apps: u64,
}

/// An app's name.
pub fn app(nth: u64) -> String {
    format!("app{nth}")
}

/// A device token.
pub fn token(nth: u64) -> String {
    format!("{:064x}", nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What the payload of such a job is for Apple: the yardstick sends the same.
pub const PAYLOAD: &str = r#"{"aps":{"alert":{"body":"See you at eight? We are in the garden behind the house; bring the others, and something to sit on. There will be soup.","title":"Mina"}},"channel":"room-00042","message":"018f2f6e-7f2b-7c3a-9d51-3c2b1a0f9e8d"}"#;

impl Shape {
    /// The job with this number.
    pub fn job(self, nth: u64) -> Vec<u8> {
        let mut json = format!(
            r#"{{"id":"burst-{nth}","app":"{}","priority":"{}","ttl":3600,"notification":{{"title":"Mina","body":"See you at eight? We are in the garden behind the house; bring the others, and something to sit on. There will be soup."}},"data":{{"channel":"room-00042","message":"018f2f6e-7f2b-7c3a-9d51-3c2b1a0f9e8d"}},"to":["#,
            app(nth % self.apps),
            lane(nth)
        );
        for target in 0..self.targets {
            if target > 0 {
                json.push(',');
            }
            let token = token(nth * self.targets + target);
            match self.aim {
                Aim::Apns => json.push_str(&format!(r#"{{"apns":"{token}"}}"#)),
                // Registration tokens have some 160 characters.
                Aim::Fcm => json.push_str(&format!(r#"{{"fcm":"{}:APA91b{token}{token}"}}"#, &token[42..])),
            }
        }
        json.push_str("]}");
        json.into_bytes()
    }

    /// The same as a message.
    pub fn message(self, nth: u64) -> Message {
        Message { id: format!("burst-{nth}"), routing_key: lane(nth), body: self.job(nth) }
    }
}

/// One in ten is urgent, three in ten are bulk.
pub const fn lane(nth: u64) -> &'static str {
    match nth % 10 {
        0 => "high",
        1..=6 => "normal",
        _ => "low",
    }
}
