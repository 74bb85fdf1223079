//! Connections to a push service that speaks HTTP/1.1 alone, and not always well.

#[path = "support/h2_server.rs"]
mod h2_server;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2_server::{Authority, PATIENCE};
use http::{HeaderMap, HeaderValue};
use tidegate::provider::http2::{Attempt, FailureKind, Pool, PoolOptions};
use tidegate::provider::{Endpoint, Request, tls};
use tidegate::verdict::{ConnectionEffect, Sent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

type Socket = TlsStream<TcpStream>;

/// A server that reads whole requests and answers each with what `answer` says to its number; closes after an empty one.
struct Server {
    address: SocketAddr,
    ca: Authority,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let ca = Authority::new();
        let acceptor = TlsAcceptor::from(Arc::new(ca.server_config(&["http/1.1"], |_| {})));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (connections, numbers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, answer) = (Arc::clone(&connections), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, numbers, answer) = (acceptor.clone(), Arc::clone(&numbers), Arc::clone(&answer));
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    while read(&mut socket).await.is_some() {
                        let text = answer(numbers.fetch_add(1, Ordering::SeqCst));
                        if text.is_empty() || socket.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                        let _ = socket.flush().await;
                    }
                });
            }
        });
        Self { address, ca, connections }
    }

    fn pool(&self, options: PoolOptions) -> Pool {
        let endpoint = Endpoint { host: "localhost".to_owned(), port: self.address.port(), extra_roots: None };
        let tls = tls::any_http(Some(&self.ca.pem)).expect("roots");
        let address = self.address;
        let resolver = Arc::new(move |_, _| -> futures::future::BoxFuture<'static, _> {
            Box::pin(async move { Ok(vec![address]) })
        });
        Pool::with_resolver(&endpoint, Arc::new(tls), options, resolver).expect("a host name")
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request; its head. `None`: the client is gone.
async fn read(socket: &mut Socket) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return Some(head.to_owned());
            }
        }
        match socket.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    }
}

fn options(connections: usize) -> PoolOptions {
    PoolOptions { proof_patience: PATIENCE, ..PoolOptions::webpush(connections, Duration::from_secs(10)) }
}

fn request() -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("ttl", HeaderValue::from_static("60"));
    Request { path: "/push/a?b=c".parse().expect("a path"), headers, body: "body".into() }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Sends one request as soon as there is room, asking for it.
async fn send(pool: &mut Pool) -> Attempt {
    let room = async {
        pool.grow(1);
        while pool.room() == 0 {
            pool.changed().await;
            pool.grow(1);
        }
    };
    in_time(room).await;
    pool.send(request()).expect("there is room")
}

#[tokio::test]
async fn one_request_after_the_other_goes_over_one_connection() {
    let server =
        Server::start(|nth| format!("HTTP/1.1 201 Created\r\ncontent-length: 1\r\nlocation: /m/{nth}\r\n\r\nx")).await;
    let mut pool = server.pool(options(1));
    for nth in 0..50 {
        let attempt = send(&mut pool).await;
        assert!(pool.send(request()).is_err(), "nothing is pipelined");
        let answer = in_time(attempt).await.result.expect("an answer");
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (201, &b"x"[..]));
        assert_eq!(answer.headers["location"], format!("/m/{nth}"));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_is_put_as_http1_wants_it() {
    let heads = Arc::new(std::sync::Mutex::new(String::new()));
    let ca = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(ca.server_config(&[], |_| {})));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = Server { address: listener.local_addr().expect("bound"), ca, connections: Arc::default() };
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        let mut socket = acceptor.accept(socket).await.expect("TLS");
        let head = read(&mut socket).await.expect("a request");
        *seen.lock().expect("nobody panicked") = head;
        socket.write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await.expect("written");
        std::future::pending::<()>().await;
    });
    let mut pool = server.pool(options(1));
    // Without ALPN at all the server is taken for one of HTTP/1.1.
    assert_eq!(in_time(send(&mut pool).await).await.result.expect("an answer").status, 410);
    let head = heads.lock().expect("nobody panicked").clone();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /push/a?b=c HTTP/1.1"));
    let port = server.address.port();
    for wanted in ["ttl: 60".to_owned(), format!("host: localhost:{port}"), "content-length: 4".to_owned()] {
        assert!(head.lines().any(|line| line == wanted), "{wanted} is in {head}");
    }
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_gets_a_connection_for_each_request() {
    let server =
        Server::start(|_| "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let mut pool = server.pool(options(2));
    for _ in 0..5 {
        assert_eq!(in_time(send(&mut pool).await).await.result.expect("an answer").status, 201);
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn what_is_beyond_the_cap_is_not_read_and_costs_the_connection() {
    let server =
        Server::start(|_| format!("HTTP/1.1 400 Bad\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(10_000_000)))
            .await;
    let mut pool = server.pool(options(1));
    for nth in 1..3 {
        let answer = in_time(send(&mut pool).await).await.result.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.body.len()), (400, 4096));
        assert_eq!(server.connections(), nth);
    }
}

#[tokio::test]
async fn noise_is_a_failure_that_may_have_been_seen() {
    let noises = [
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "HTTP/1.1 9999 X\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1_000)),
        // Nothing at all: it closes.
        String::new(),
    ];
    for noise in noises {
        let shown: String = noise.chars().take(40).collect();
        let server = Server::start(move |_| noise.clone()).await;
        let mut pool = server.pool(options(1));
        let finished = in_time(send(&mut pool).await).await;
        let failure = finished.result.expect_err(&shown);
        assert_eq!((failure.kind, failure.sent), (FailureKind::ConnectionLost, Sent::Unknown), "{shown}");
        assert_eq!(failure.verdict().connection, ConnectionEffect::Retire);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_gives_its_connection_up() {
    // The first is never answered, the body of the second never ends.
    let server = Server::start(|nth| match nth {
        0 => "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        1 => "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\nx".to_owned(),
        _ => "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let short = PoolOptions { request_timeout: Duration::from_millis(300), ..options(1) };
    let mut pool = server.pool(short);
    for connections in 1..3 {
        let finished = in_time(send(&mut pool).await).await;
        assert_eq!(finished.result.expect_err("in vain").kind, FailureKind::Timeout);
        assert_eq!(server.connections(), connections);
    }
    assert_eq!(in_time(send(&mut pool).await).await.result.expect("an answer").status, 201);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn http1_is_spoken_only_where_the_options_say_so() {
    let server = Server::start(|_| "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let mut pool = server.pool(PoolOptions { http1: false, ..options(1) });
    pool.grow(1);
    in_time(async {
        while pool.unreachable() == 0 {
            pool.changed().await;
        }
    })
    .await;
    assert_eq!(pool.last_failure().map(|failure| failure.kind), Some(FailureKind::NoHttp2));
}
