//! HTTP/1.1, for servers that don't choose h2: one request at a time, nothing pipelined.
//!
//! hyper drives the connection. What was surely not sent is what hyper gave back before it wrote anything of it; all
//! else may have been seen.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::{Failure, FailureKind};
use super::line::Line;
use crate::provider::{Answer, Request};
use crate::verdict::Sent;

/// A response's head, and what is read ahead of its body.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Header lines in a response, at most.
const MAX_HEADERS: usize = 64;

/// The sending half.
pub(super) type Requests = SendRequest<Full<Bytes>>;

/// Makes `stream` a connection that carries requests, with a task that drives it to its end.
pub(super) async fn start<S>(stream: S, line: &Arc<Line>) -> Result<Requests, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    line.limited_to(1);
    let mut builder = Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let (requests, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::connecting(FailureKind::HandshakeFailed, error))?;
    let line = Arc::clone(line);
    tokio::spawn(async move {
        let end = match connection.await {
            Ok(()) => "closed".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(connection = line.id.0, end, "connection ended");
        line.close(&end);
        line.ring();
    });
    Ok(requests)
}

/// Sends one request and gathers its answer, cut off at `most` bytes of body.
pub(super) fn send(
    requests: &mut Requests,
    request: Request,
    authority: &Authority,
    most: usize,
    line: Arc<Line>,
) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
    let sending = requests.send_request(message(request, authority));
    async move {
        let answered = match sending.await {
            Ok(response) => gather(response, most).await,
            Err(error) => Err(error),
        };
        // The next one can go when this one's end was read: hyper says so to nobody but who asks.
        line.ring();
        answered.map_err(|error| failure(&error))
    }
}

fn message(request: Request, authority: &Authority) -> http::Request<Full<Bytes>> {
    let Request { path, headers, body } = request;
    let mut message = http::Request::new(Full::new(body));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = Uri::from(path);
    *message.headers_mut() = headers;
    let host = HeaderValue::try_from(authority.as_str()).expect("an authority is visible ASCII");
    message.headers_mut().insert(HOST, host);
    message
}

/// A body that is cut off is not read to its end: the connection goes with it.
async fn gather(response: http::Response<hyper::body::Incoming>, most: usize) -> Result<Answer, hyper::Error> {
    let (head, mut body) = response.into_parts();
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let taken = data.len().min(most - gathered.len());
        gathered.extend_from_slice(&data[..taken]);
        if gathered.len() == most {
            break;
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: gathered.freeze() })
}

fn failure(error: &hyper::Error) -> Failure {
    let sent = if error.is_canceled() { Sent::No } else { Sent::Unknown };
    Failure::new(FailureKind::ConnectionLost, sent).detailed(error)
}
