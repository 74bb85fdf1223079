//! HTTP/1.1 (RFC 9112), as little as the token endpoint and the ledger need: requests with `content-length`, one after
//! the other on a connection.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest head, bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// The largest body, bytes.
const LARGEST_BODY: usize = 1 << 20;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// A connection's reading end.
pub(super) struct Reader<S> {
    socket: S,
    buffer: BytesMut,
}

/// Why no request could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The client is gone.
    Gone,
    /// It is to be told this status, and the connection closed.
    Refused(u16),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, buffer: BytesMut::new() }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Result<Incoming, Unreadable> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > LARGEST_HEAD {
                return Err(Unreadable::Refused(431));
            }
            self.more().await?;
        };
        let head = self.buffer.split_to(end).freeze();
        let mut incoming = parse(&head).ok_or(Unreadable::Refused(400))?;
        let header = |name: &str| incoming.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if header("transfer-encoding").is_some() {
            return Err(Unreadable::Refused(411));
        }
        let length = header("content-length").map_or(Ok(0), str::parse::<usize>);
        let length = length.map_err(|_| Unreadable::Refused(400))?;
        if length > LARGEST_BODY {
            return Err(Unreadable::Refused(413));
        }
        while self.buffer.len() < length {
            self.more().await?;
        }
        incoming.body = self.buffer.split_to(length).freeze();
        Ok(incoming)
    }

    async fn more(&mut self) -> Result<(), Unreadable> {
        self.buffer.reserve(4096);
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Unreadable::Gone),
        }
    }

    /// Answers.
    pub(super) async fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
        let mut out = format!("HTTP/1.1 {status} {}\r\ncontent-length: {}\r\n", phrase(status), body.len());
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(body);
        self.socket.write_all(&out).await?;
        self.socket.flush().await
    }
}

fn parse(head: &[u8]) -> Option<Incoming> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.split(' ');
    let (method, path, version) = (start.next()?, start.next()?, start.next()?);
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.take_while(|line| !line.is_empty()).map(header).collect::<Option<Vec<_>>>()?;
    Some(Incoming { method: method.to_owned(), path: path.to_owned(), headers, body: Bytes::new() })
}

fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}
