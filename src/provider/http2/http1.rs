//! HTTP/1.1, for servers that don't choose h2: one request at a time, nothing pipelined.
//!
//! hyper drives the connection. What was surely not sent is what hyper gave back before it wrote anything of it; all
//! else may have been seen.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::failure::{Failure, FailureKind};
use super::line::Line;
use crate::provider::{Answer, Request};
use crate::verdict::Sent;

/// A response's head, and what is read ahead of its body.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Header lines in a response, at most.
const MAX_HEADERS: usize = 64;

/// One request on its way to a connection's task, and where its answer goes.
struct Exchange {
    message: http::Request<Full<Bytes>>,
    most: usize,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

/// A connection's sending half.
pub(super) struct Requests(mpsc::Sender<Exchange>);

/// Makes `stream` a connection that carries requests, with a task that drives it and one that hands requests to it.
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
    let driven = Arc::clone(line);
    tokio::spawn(async move {
        let end = match connection.await {
            Ok(()) => "closed".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(connection = driven.id.0, end, "connection ended");
        driven.close(&end);
        driven.ring();
    });
    let (outbox, inbox) = mpsc::channel(1);
    tokio::spawn(carry(requests, inbox, Arc::clone(line)));
    Ok(Requests(outbox))
}

/// Carries one request after the other. The next one may come when the last one's answer was read to its end, which only
/// hyper knows; whoever gives a request up gives its connection up.
async fn carry(mut requests: SendRequest<Full<Bytes>>, mut inbox: mpsc::Receiver<Exchange>, line: Arc<Line>) {
    while let Some(Exchange { message, most, mut reply }) = inbox.recv().await {
        let answered = tokio::select! {
            answered = exchange(&mut requests, message, most) => answered,
            () = reply.closed() => return,
        };
        // Nobody waits any more: then it was given up in this moment.
        let _ = reply.send(answered.map_err(|error| failure(&error)));
        if requests.ready().await.is_err() {
            return;
        }
        line.limited_to(1);
        line.ring();
    }
}

/// Sends one request; the answer's body is cut off at `most` bytes. Only where the connection has room.
pub(super) fn send(
    requests: &Requests,
    request: Request,
    authority: &Authority,
    most: usize,
    line: &Line,
) -> BoxFuture<'static, Result<Answer, Failure>> {
    line.limited_to(0);
    let (reply, answer) = oneshot::channel();
    let handed = requests.0.try_send(Exchange { message: message(request, authority), most, reply });
    Box::pin(async move {
        let sent = if handed.is_ok() { Sent::Unknown } else { Sent::No };
        answer.await.unwrap_or_else(|_| Err(Failure::new(FailureKind::ConnectionLost, sent)))
    })
}

async fn exchange(
    requests: &mut SendRequest<Full<Bytes>>,
    message: http::Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, hyper::Error> {
    gather(requests.send_request(message).await?, most).await
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
