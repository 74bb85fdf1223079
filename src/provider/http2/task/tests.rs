//! What leaves together, leaves in one write.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{DuplexStream, ReadBuf};
use tokio::sync::Notify;

use super::super::io::Wire;
use super::super::line::ConnectionId;
use super::*;

/// A stream that counts its writes, and says that it could write vectored, as TLS does.
struct Counting {
    inner: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Answers everything with 200, once `requests` have come.
async fn serve(stream: DuplexStream, requests: usize) {
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    let mut waiting = Vec::new();
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.expect("a request");
        waiting.push((request, respond));
        if waiting.len() == requests {
            for (_, mut respond) in waiting.drain(..) {
                respond.send_response(http::Response::new(()), true).expect("answered");
            }
        }
    }
}

#[tokio::test]
async fn requests_sent_together_leave_in_few_writes() {
    // Bodies that h2 chains and would flush one by one. Twenty of them fit into the window.
    const REQUESTS: usize = 20;
    const BODY: usize = 2_000;
    let (near, far) = tokio::io::duplex(1024 * 1024);
    tokio::spawn(serve(far, REQUESTS));
    let writes = Arc::new(AtomicUsize::new(0));
    let line = Line::new(ConnectionId(1), 100, Arc::new(Notify::new()));
    let gate = Arc::new(Gate::default());
    let stream = Counting { inner: near, writes: Arc::clone(&writes) };
    let wire = Wire::new(stream, Arc::clone(&gate), Arc::clone(&line));
    let (mut requests, connection) = h2::client::handshake(wire).await.expect("HTTP/2");
    let (ready, is_ready) = oneshot::channel();
    let options = Arc::new(PoolOptions::apns(1, Duration::from_secs(20)));
    tokio::spawn(drive(connection, Arc::clone(&line), gate, options, ready));
    is_ready.await.expect("SETTINGS came");
    let before = writes.load(Ordering::SeqCst);
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let request = http::Request::post("https://localhost/3/device/aa").body(()).expect("a request");
        let (answer, mut body) = requests.send_request(request, false).expect("sent");
        body.send_data(vec![b'x'; BODY].into(), true).expect("sent");
        answers.push(answer);
    }
    for answer in answers {
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.expect("in time");
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    let writes = writes.load(Ordering::SeqCst) - before;
    // 40 KB in records of 16 KiB, and what acknowledges the server's frames.
    assert!(writes <= 6, "{writes} writes for {REQUESTS} requests");
}
