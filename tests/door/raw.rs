//! A client that says exactly what it is told to, byte by byte.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// No test waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The seconds in Retry-After.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").map(|seconds| seconds.parse().unwrap())
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(door: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(door).await.unwrap(), unread: Vec::new() }
    }

    /// From one of this machine's addresses.
    pub(crate) async fn connect_from(from: IpAddr, door: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self { stream: socket.connect(door).await.unwrap(), unread: Vec::new() }
    }

    /// Sends as much as is taken; says whether that was all.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the door reads in time").is_ok()
    }

    /// The next answer with a final status; `None`: the connection ended without one.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        loop {
            let answer = self.any_answer(to_head).await?;
            if answer.status >= 200 {
                return Some(answer);
            }
        }
    }

    /// The next answer, 100 included.
    pub(crate) async fn any_answer(&mut self, to_head: bool) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.receive().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !to_head && status >= 200 {
            while self.unread.len() < length {
                assert!(self.receive().await, "the answer is cut: {answer:?}");
            }
            answer.body = self.unread.drain(..length).collect();
        }
        Some(answer)
    }

    /// The next answer, with a pause whenever so many bytes were read.
    pub(crate) async fn answer_in_sips(&mut self, sip: usize, pause: Duration) -> Answer {
        let mut next = sip;
        let mut received = 0;
        while self.receive().await {
            received = received.max(self.unread.len());
            if received >= next {
                next += sip;
                tokio::time::sleep(pause).await;
            }
            if received >= 16 * sip {
                break;
            }
        }
        self.answer(false).await.expect("a head was read")
    }

    /// Whether the door closes, or has closed, the connection without saying more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.receive().await
    }

    async fn receive(&mut self) -> bool {
        let received = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        matches!(received.expect("the door answers or closes in time"), Ok(1..))
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(door: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut client = Client::connect(door).await;
    client.send(request).await;
    client.answer(request.starts_with(b"HEAD ")).await
}

/// A request to `POST /v1/jobs` with this content type and these other header lines.
pub(crate) fn post(kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{more}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The same of JSON.
pub(crate) fn post_json(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("application/json", "", body.as_ref())
}

/// A job for the lane `high`.
pub(crate) fn job(id: &str) -> String {
    format!(r#"{{"id":"{id}","app":"chat","to":[{{"apns":"5f3a"}}],"priority":"high","data":{{"k":"v"}}}}"#)
}
