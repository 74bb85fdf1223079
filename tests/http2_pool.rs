//! A route's connections against a server whose every frame is decided here.

#[path = "support/h2_server.rs"]
mod h2_server;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use h2_server::{Authority, CANCEL, Event, Mode, PATIENCE, Peer, REFUSED_STREAM, Server};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate::provider::apns::{Apns, ApnsCredential, ApnsSettings};
use tidegate::provider::http2::{Attempt, Failure, FailureKind, Finished, Pool, PoolOptions, Resolver};
use tidegate::provider::{Endpoint, Request, tls};
use tidegate::verdict::{ConnectionEffect, Fate, RouteEffect, Sent};

const MANUAL: Mode = Mode::Manual { limit: Some(100), pong: true };

fn options() -> PoolOptions {
    PoolOptions { proof_patience: PATIENCE, ..PoolOptions::apns(4, PATIENCE) }
}

fn resolver(address: SocketAddr) -> Resolver {
    Arc::new(move |_, _| Box::pin(async move { Ok(vec![address]) }))
}

fn pool_to(address: SocketAddr, ca: &Authority, options: PoolOptions) -> Pool {
    let endpoint = Endpoint { host: "localhost".to_owned(), port: address.port(), extra_roots: Some(ca.pem.clone()) };
    let tls = tls::http2(endpoint.extra_roots.as_deref(), None).expect("roots");
    Pool::with_resolver(&endpoint, tls, options, resolver(address)).expect("a host name")
}

async fn serve(mode: Mode, options: PoolOptions) -> (Server, Pool) {
    let ca = Authority::new();
    let server = Server::start(ca.server_config(&["h2"], |_| {}), mode).await;
    let pool = pool_to(server.address, &ca, options);
    (server, pool)
}

fn request(body: impl Into<Bytes>) -> Request {
    Request { path: "/3/device/aa".parse().expect("a path"), headers: HeaderMap::new(), body: body.into() }
}

fn send(pool: &mut Pool) -> Attempt {
    pool.send(request("{}")).expect("there is room")
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Lets the pool run until it is as `wanted`.
async fn until(pool: &mut Pool, wanted: impl Fn(&Pool) -> bool) {
    in_time(async {
        while !wanted(pool) {
            pool.changed().await;
        }
    })
    .await;
}

/// Opens one connection.
async fn open(pool: &mut Pool, server: &mut Server) -> Peer {
    let before = pool.status().open;
    pool.grow(usize::MAX);
    let peer = server.peer().await;
    until(pool, |pool| pool.status().open > before).await;
    peer
}

/// Opens one connection and proves it by one push.
async fn open_and_prove(pool: &mut Pool, server: &mut Server) -> Peer {
    let mut peer = open(pool, server).await;
    let attempt = send(pool);
    let stream = peer.request().await;
    peer.answer(stream, 200, b"");
    assert_eq!(in_time(attempt).await.result.expect("an answer").status, 200);
    peer
}

fn failure(finished: Finished) -> Failure {
    finished.result.expect_err("no answer")
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_settings() {
    let (mut server, mut pool) = serve(Mode::Manual { limit: None, pong: true }, options()).await;
    pool.grow(10);
    let mut peer = server.peer().await;
    peer.nothing_more().await;
    assert!(pool.status().connecting);
    assert_eq!(pool.room(), 0);
    assert!(pool.send(request("{}")).is_err(), "the request comes back");
    peer.limit(100);
    until(&mut pool, |pool| pool.room() == 1).await;
}

#[tokio::test]
async fn a_connection_is_proven_by_one_push() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open(&mut pool, &mut server).await;
    until(&mut pool, |pool| pool.room() == 1).await;
    let attempt = send(&mut pool);
    assert_eq!(pool.room(), 0);
    assert!(pool.send(request("{}")).is_err());
    let stream = peer.request().await;
    peer.nothing_more().await;
    peer.answer(stream, 400, br#"{"reason":"BadDeviceToken"}"#);
    let answer = in_time(attempt).await.result.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (400, &br#"{"reason":"BadDeviceToken"}"#[..]));
    assert_eq!(pool.room(), 100);
    assert_eq!(pool.status().proven, 1);
}

#[tokio::test]
async fn a_stream_limit_of_one_is_kept_until_the_server_raises_it_and_again_when_it_falls() {
    let (mut server, mut pool) = serve(Mode::Manual { limit: Some(1), pong: true }, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    assert_eq!(pool.room(), 1);
    peer.limit(1_000);
    until(&mut pool, |pool| pool.room() == 1_000).await;
    let mut attempts: FuturesUnordered<_> = (0..50).map(|_| send(&mut pool)).collect();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(peer.request().await);
    }
    peer.limit(1);
    until(&mut pool, |pool| pool.room() == 0).await;
    for stream in streams {
        assert_eq!(pool.room(), 0, "more is in flight than is allowed");
        peer.answer(stream, 200, b"");
        assert!(in_time(attempts.next()).await.expect("an attempt").result.is_ok());
    }
    assert_eq!(pool.room(), 1);
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    peer.answer(stream, 200, b"");
    assert!(in_time(attempt).await.result.is_ok());
    peer.limit(500);
    until(&mut pool, |pool| pool.room() == 500).await;
}

#[tokio::test]
async fn connections_are_opened_one_at_a_time_up_to_the_maximum() {
    let mut options = options();
    options.max_connections = 3;
    let (mut server, mut pool) = serve(Mode::Manual { limit: Some(10), pong: true }, options).await;
    let mut peers = Vec::new();
    for nth in 1..=3 {
        pool.grow(usize::MAX);
        pool.grow(usize::MAX);
        let mut peer = server.peer().await;
        until(&mut pool, |pool| pool.status().open == nth).await;
        pool.grow(usize::MAX);
        assert!(!pool.status().connecting, "the new one is not proven yet");
        let attempt = send(&mut pool);
        let stream = in_time(async {
            // The first ones have more room, so fill them before the new one.
            peer.request().await
        });
        let mut fillers = Vec::new();
        while pool.room() > 0 {
            fillers.push(send(&mut pool));
        }
        let stream = stream.await;
        peer.answer(stream, 200, b"");
        until_answered(&mut pool, attempt, fillers, nth).await;
        peers.push(peer);
    }
    pool.grow(usize::MAX);
    assert!(!pool.status().connecting);
    assert_eq!((pool.status().open, pool.status().stream_limit), (3, 30));
    assert!(server.peers.try_recv().is_err(), "three and no more");
}

/// A changed limit drops no connection: with fewer allowed, the youngest takes nothing new and ends when it is empty.
#[tokio::test]
async fn other_limits_of_a_running_pool_hold_at_once_and_drop_nothing() {
    let mut options = options();
    (options.max_connections, options.request_timeout) = (1, PATIENCE);
    let (mut server, mut pool) = serve(MANUAL, options).await;
    let mut first = open_and_prove(&mut pool, &mut server).await;
    pool.grow(usize::MAX);
    assert!(!pool.status().connecting, "one is allowed");
    pool.set_limits(2, PATIENCE);
    let mut second = open(&mut pool, &mut server).await;
    let waiting = send(&mut pool);
    let stream = first.request().await;

    pool.set_limits(1, Duration::from_millis(50));
    assert_eq!(pool.status().open, 1);
    while second.event().await != Event::Closed {}
    let brief = failure(in_time(send(&mut pool)).await);
    assert_eq!(brief.kind, FailureKind::Timeout, "what is sent from now on waits no longer");
    first.answer(stream, 200, b"");
    assert_eq!(in_time(waiting).await.result.expect("what was sent before waits as long as it did").status, 200);
    assert_eq!(pool.status().open, 1, "the older one stays");
}

/// Waits until `proven` connections are, then gives all attempts up.
async fn until_answered(pool: &mut Pool, attempt: Attempt, fillers: Vec<Attempt>, proven: usize) {
    let mut all: FuturesUnordered<_> = fillers.into_iter().chain([attempt]).collect();
    assert!(in_time(all.next()).await.expect("one is answered").result.is_ok());
    assert_eq!(pool.status().proven, proven);
}

/// 65,535 bytes is all the window APNs gives: fifteen bodies of 4,096 bytes fit, whatever the stream limit says.
#[tokio::test]
async fn bodies_that_do_not_fit_the_window_go_by_another_connection() {
    let (mut server, mut pool) = serve(Mode::Windows { limit: 1_000 }, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let mut attempts = Vec::new();
    while pool.room() > 0 {
        attempts.push(pool.send(request(vec![b'x'; 4_096])).expect("room"));
    }
    assert_eq!(attempts.len(), 15);
    pool.grow(1);
    assert!(pool.status().connecting, "streams are free, the window is not");
    let second = server.peer().await;
    until(&mut pool, |pool| pool.status().open == 2).await;
    let by_the_second = pool.send(request(vec![b'x'; 4_096])).expect("room");
    assert_eq!(pool.room(), 0);
    peer.frame(h2_server::WINDOW_UPDATE, 0, 0, &40_960_u32.to_be_bytes());
    // What was left, 4,093 bytes, and these make room for ten and a bit.
    until(&mut pool, |pool| pool.room() == 10).await;
    for _ in &attempts {
        let stream = peer.request().await;
        peer.answer(stream, 200, b"");
    }
    for finished in in_time(futures::future::join_all(attempts)).await {
        assert!(finished.result.is_ok());
    }
    second.hang_up();
    assert!(in_time(by_the_second).await.result.is_err());
}

#[tokio::test]
async fn a_window_that_is_never_given_back_does_not_lock_an_idle_connection() {
    let (mut server, mut pool) = serve(Mode::Windows { limit: 1_000 }, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    for _ in 0..3 {
        let attempts: Vec<_> = (0..5).map_while(|_| pool.send(request(vec![b'x'; 4_096])).ok()).collect();
        assert_eq!(attempts.len(), 5);
        for _ in &attempts {
            let stream = peer.request().await;
            peer.answer(stream, 200, b"");
        }
        for finished in in_time(futures::future::join_all(attempts)).await {
            assert!(finished.result.is_ok());
        }
    }
    assert_eq!(pool.room(), 1, "the server may be waiting for the last of the window to be used");
}

#[tokio::test]
async fn demand_that_fits_opens_nothing() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let _peer = open_and_prove(&mut pool, &mut server).await;
    pool.grow(100);
    assert!(!pool.status().connecting);
    pool.grow(101);
    assert!(pool.status().connecting);
}

#[tokio::test]
async fn a_goaway_tells_what_was_not_looked_at_and_lets_the_rest_end() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let below = send(&mut pool);
    let last = peer.request().await;
    let above = send(&mut pool);
    peer.request().await;
    peer.goaway(last, 0, r#"{"reason":"Shutdown"}"#);
    let refused = failure(in_time(above).await);
    assert_eq!((refused.kind, refused.sent), (FailureKind::GoAway, Sent::No));
    assert_eq!(refused.reason(), "Shutdown");
    until(&mut pool, |pool| pool.room() == 0).await;
    assert_eq!(pool.status().draining, 1);
    peer.answer(last, 200, b"");
    assert_eq!(in_time(below).await.result.expect("it was below the last id").status, 200);
    until(&mut pool, |pool| pool.status().draining == 0).await;
    pool.grow(1);
    server.peer().await;
}

#[tokio::test]
async fn a_goaway_with_an_error_and_a_closed_socket_leave_what_was_seen_unknown() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let below = send(&mut pool);
    let last = peer.request().await;
    let above = send(&mut pool);
    peer.request().await;
    peer.goaway(last, 7, "Maximum active streams violated for this endpoint.");
    assert_eq!(failure(in_time(above).await).sent, Sent::No);
    peer.hang_up();
    let lost = failure(in_time(below).await);
    assert_eq!((lost.kind, lost.sent), (FailureKind::ConnectionLost, Sent::Unknown));
    assert_eq!(lost.verdict().connection, ConnectionEffect::Retire);
}

#[tokio::test]
async fn a_refused_stream_was_surely_not_processed() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    peer.reset(stream, REFUSED_STREAM);
    let refused = failure(in_time(attempt).await);
    assert_eq!((refused.kind, refused.sent), (FailureKind::RefusedStream, Sent::No));
    assert_eq!(pool.room(), 100, "the connection stays in use");
}

#[tokio::test]
async fn any_other_reset_leaves_it_unknown() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    peer.reset(stream, 2);
    let reset = failure(in_time(attempt).await);
    assert_eq!((reset.kind, reset.sent), (FailureKind::Reset(2), Sent::Unknown));
}

#[tokio::test]
async fn a_lost_connection_leaves_it_unknown_and_is_told() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    peer.request().await;
    peer.hang_up();
    let lost = failure(in_time(attempt).await);
    assert_eq!(
        (lost.kind, lost.sent, lost.reason()),
        (FailureKind::ConnectionLost, Sent::Unknown, "connection_lost".into())
    );
    until(&mut pool, |pool| pool.status().open == 0).await;
    assert_eq!(pool.room(), 0);
}

#[tokio::test]
async fn a_timeout_resets_its_stream() {
    let mut options = options();
    options.request_timeout = Duration::from_millis(300);
    let (mut server, mut pool) = serve(MANUAL, options).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    let late = failure(in_time(attempt).await);
    assert_eq!((late.kind, late.sent), (FailureKind::Timeout, Sent::Unknown));
    assert_eq!(late.verdict().fate, Fate::Retry { after: Duration::ZERO, sent: Sent::Unknown });
    assert_eq!(late.verdict().route, RouteEffect::Slow { pause: None });
    assert_eq!(peer.event().await, Event::Reset { stream, code: CANCEL });
    assert_eq!(pool.room(), 1, "its place is free again");
}

#[tokio::test]
async fn a_body_that_never_ends_is_within_the_timeout() {
    let mut options = options();
    options.request_timeout = Duration::from_millis(300);
    let (mut server, mut pool) = serve(MANUAL, options).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    peer.frame(h2_server::HEADERS, h2_server::END_HEADERS, stream, &[0x8e]);
    peer.frame(h2_server::DATA, 0, stream, b"{");
    assert_eq!(failure(in_time(attempt).await).kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_body_is_cut_off_at_its_cap() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    peer.frame(h2_server::HEADERS, h2_server::END_HEADERS, stream, &[0x8e]);
    // The stream's window is 65,535 bytes; the client gives back what it has read.
    for _ in 0..3 {
        peer.frame(h2_server::DATA, 0, stream, &[b'x'; 16_384]);
    }
    peer.nothing_more().await;
    peer.frame(h2_server::DATA, 0, stream, &[b'x'; 16_384]);
    peer.frame(h2_server::DATA, 0, stream, &[b'x'; 16_384]);
    let answer = in_time(attempt).await.result.expect("an answer");
    assert_eq!(answer.body.len(), 64 * 1024);
    assert_eq!(peer.event().await, Event::Reset { stream, code: CANCEL });
}

#[tokio::test]
async fn a_dead_peer_is_found_by_a_ping() {
    let mut options = options();
    options.ping_after = Duration::from_millis(200);
    options.pong_within = Duration::from_millis(200);
    let (mut server, mut pool) = serve(Mode::Manual { limit: Some(10), pong: false }, options).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    peer.request().await;
    let lost = failure(in_time(attempt).await);
    assert_eq!((lost.kind, lost.sent), (FailureKind::ConnectionLost, Sent::Unknown));
    assert_eq!(lost.detail.as_deref(), Some("no answer to a ping"));
    assert_eq!(peer.event().await, Event::Ping { ack: false });
    until(&mut pool, |pool| pool.status().open == 0).await;
}

#[tokio::test]
async fn a_slow_peer_that_answers_pings_is_not_given_up() {
    let mut options = options();
    options.ping_after = Duration::from_millis(50);
    options.pong_within = Duration::from_secs(3);
    let (mut server, mut pool) = serve(MANUAL, options).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    for _ in 0..2 {
        assert_eq!(peer.event().await, Event::Ping { ack: false });
    }
    peer.answer(stream, 200, b"");
    assert!(in_time(attempt).await.result.is_ok());
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_never_pinged() {
    let mut options = options();
    options.idle_timeout = Duration::from_millis(400);
    options.ping_after = Duration::from_millis(20);
    let (mut server, mut pool) = serve(Mode::Auto { limit: 10 }, options).await;
    let mut peer = open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    assert_eq!(stream, 1);
    assert!(in_time(attempt).await.result.is_ok());
    peer.forget().await;
    let closing = async {
        let event = peer.event().await;
        assert!(matches!(event, Event::GoAway { code: 0 } | Event::Closed), "{event:?} on an idle connection");
    };
    tokio::select! {
        () = in_time(closing) => {}
        () = async { loop { pool.changed().await } } => {}
    }
    assert_eq!(pool.room(), 0);
}

/// FLOW.md 3.4: an old connection is replaced while it works, by one that is there before it goes, and nothing is lost.
#[tokio::test]
async fn flow_3_4_an_old_connection_is_replaced_and_finishes_what_it_carries() {
    let (mut server, mut pool) =
        serve(MANUAL, PoolOptions { max_age: Duration::from_millis(1_500), ..options() }).await;
    let mut old = open_and_prove(&mut pool, &mut server).await;
    let carried = send(&mut pool);
    let stream = old.request().await;
    let mut new = tokio::select! {
        peer = in_time(server.peer()) => peer,
        () = async { loop { pool.changed().await } } => unreachable!("it goes on"),
    };
    until(&mut pool, |pool| pool.status().draining == 1 && pool.status().open == 1).await;
    assert_eq!(pool.status().in_flight, 1, "what it carries is carried on");
    let next = send(&mut pool);
    let on_new = new.request().await;
    assert_eq!(on_new, 1, "what is new goes by the new one");
    new.answer(on_new, 200, b"");
    old.answer(stream, 200, b"");
    let (carried, next) = in_time(futures::future::join(carried, next)).await;
    assert!(carried.result.is_ok() && next.result.is_ok());
    assert_ne!(carried.connection, next.connection);
}

/// Those opened together don't end together; and one that carries nothing needs no successor.
#[tokio::test]
async fn flow_3_4_an_idle_connection_that_is_old_is_closed() {
    let (mut server, mut pool) =
        serve(MANUAL, PoolOptions { max_age: Duration::from_millis(1_500), ..options() }).await;
    let _peer = open_and_prove(&mut pool, &mut server).await;
    until(&mut pool, |pool| pool.status().open == 0).await;
    assert!(!pool.status().connecting, "nobody asked for another");
    assert_eq!(pool.room(), 0);
}

async fn refused(
    alpn: &[&str],
    ca: &Authority,
    trusted: &Authority,
    edit: impl FnOnce(&mut rcgen::CertificateParams),
) -> String {
    let server = Server::start(ca.server_config(alpn, edit), MANUAL).await;
    let mut pool = pool_to(server.address, trusted, options());
    pool.grow(1);
    until(&mut pool, |pool| pool.status().last_failure.is_some()).await;
    assert_eq!((pool.status().open, pool.room()), (0, 0));
    pool.grow(1);
    assert!(!pool.status().connecting, "the backoff holds");
    pool.status().last_failure.expect("a reason")
}

#[tokio::test]
async fn tls_is_verified() {
    let ca = Authority::new();
    let stranger = Authority::new();
    let wrong_ca = refused(&["h2"], &stranger, &ca, |_| {}).await;
    assert!(wrong_ca.starts_with("tls_failed") && wrong_ca.contains("UnknownIssuer"), "{wrong_ca}");
    let wrong_name = refused(&["h2"], &ca, &ca, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("elsewhere.test".try_into().expect("a name"))];
    })
    .await;
    assert!(wrong_name.starts_with("tls_failed") && wrong_name.contains("not valid for name"), "{wrong_name}");
    let expired = refused(&["h2"], &ca, &ca, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)).await;
    assert!(expired.starts_with("tls_failed") && expired.to_lowercase().contains("expired"), "{expired}");
}

#[tokio::test]
async fn a_server_without_http2_is_refused() {
    let ca = Authority::new();
    let other = refused(&["http/1.1"], &ca, &ca, |_| {}).await;
    assert!(other.starts_with("no_http2"), "{other}");
    let none = refused(&[], &ca, &ca, |_| {}).await;
    assert!(none.starts_with("no_http2"), "{none}");
}

#[tokio::test]
async fn apns_certificate_is_shown_to_a_server_that_asks_for_it() {
    let ca = Authority::new();
    let mut server = Server::start(ca.mutual_config(), Mode::Auto { limit: 100 }).await;
    let (certificate, key) = ca.issue(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let endpoint =
        Endpoint { host: "localhost".to_owned(), port: server.address.port(), extra_roots: Some(ca.pem.clone()) };
    let credential = ApnsCredential::Certificate { chain_pem: certificate.pem(), key_pem: key.serialize_pem().into() };
    let topic = "com.example.chat".to_owned();
    let apns = Apns::new(&ApnsSettings { endpoint: endpoint.clone(), topic, credential }).expect("a certificate");
    let mut pool =
        Pool::with_resolver(&endpoint, apns.tls(), options(), resolver(server.address)).expect("a host name");
    open(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    assert!(in_time(attempt).await.result.is_ok());

    let mut without = pool_to(server.address, &ca, options());
    without.grow(1);
    until(&mut without, |pool| pool.status().last_failure.is_some()).await;
    let said = without.status().last_failure.expect("a reason");
    assert!(said.contains("CertificateRequired"), "{said}");
}

#[tokio::test]
async fn a_server_that_throws_everybody_out_is_not_stormed() {
    let (mut server, mut pool) = serve(Mode::Manual { limit: None, pong: true }, options()).await;
    pool.grow(1);
    let peer = server.peer().await;
    peer.goaway(0, 0, r#"{"reason":"BadCertificateEnvironment"}"#);
    peer.hang_up();
    until(&mut pool, |pool| pool.status().last_failure.is_some()).await;
    let said = pool.status().last_failure.expect("a reason");
    assert!(said.starts_with("handshake_failed (BadCertificateEnvironment)"), "{said}");
    pool.grow(1);
    assert!(!pool.status().connecting, "the backoff holds");
    let closed_for = std::time::Instant::now();
    in_time(async {
        while !pool.status().connecting {
            pool.changed().await;
            pool.grow(1);
        }
    })
    .await;
    assert!(closed_for.elapsed() > Duration::from_millis(300), "half a second at least, and some of it has passed");
}

#[tokio::test]
async fn the_name_is_looked_up_for_each_connection_and_its_addresses_are_tried_in_turn() {
    let ca = Authority::new();
    let mut server = Server::start(ca.server_config(&["h2"], |_| {}), Mode::Auto { limit: 1 }).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("an address");
    drop(free);
    let lookups = Arc::new(AtomicUsize::new(0));
    let (counter, address) = (Arc::clone(&lookups), server.address);
    let resolver: Resolver = Arc::new(move |host, port| {
        assert_eq!((host.as_str(), port), ("localhost", address.port()));
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(vec![nobody, address]) })
    });
    let endpoint = Endpoint { host: "localhost".to_owned(), port: address.port(), extra_roots: None };
    let mut pool = Pool::with_resolver(&endpoint, tls::http2(Some(&ca.pem), None).expect("roots"), options(), resolver)
        .expect("a pool");
    for nth in 1..=2 {
        pool.grow(usize::MAX);
        server.peer().await;
        until(&mut pool, |pool| pool.status().open == nth).await;
        assert_eq!(lookups.load(Ordering::SeqCst), nth);
        let attempts: Vec<_> = (0..pool.room()).map(|_| send(&mut pool)).collect();
        for finished in in_time(futures::future::join_all(attempts)).await {
            assert!(finished.result.is_ok());
        }
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure_with_backoff() {
    let ca = Authority::new();
    let endpoint = Endpoint { host: "nowhere.invalid".to_owned(), port: 443, extra_roots: None };
    let tls = tls::http2(Some(&ca.pem), None).expect("roots");
    let mut pool = Pool::new(&endpoint, tls, options()).expect("a pool");
    pool.grow(1);
    until(&mut pool, |pool| pool.status().last_failure.is_some()).await;
    assert!(pool.status().last_failure.expect("a reason").starts_with("name_not_resolved"));
}

#[tokio::test]
async fn late_replies_to_many_timed_out_requests_do_not_end_the_connection() {
    // More than are remembered (8,192) and more than h2's own limit of 1,024 beyond that.
    const REQUESTS: usize = 9_600;
    let mut options = options();
    options.max_streams = 20_000;
    let (mut server, mut pool) = serve(Mode::Manual { limit: Some(20_000), pong: true }, options).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let attempts: Vec<_> = (0..REQUESTS).map(|_| send(&mut pool)).collect();
    let mut streams = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        streams.push(peer.request().await);
    }
    // Given up all at once, as a time-out does it.
    drop(attempts);
    let mut resets = 0;
    while resets < REQUESTS {
        match peer.event().await {
            Event::Reset { code: CANCEL, .. } => resets += 1,
            other => panic!("{other:?}"),
        }
    }
    for stream in streams {
        peer.answer(stream, 200, b"");
    }
    let attempt = send(&mut pool);
    let stream = loop {
        match peer.event().await {
            Event::Data { stream, end: true, .. } => break stream,
            Event::Headers { .. } | Event::Reset { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    peer.answer(stream, 200, b"");
    assert!(in_time(attempt).await.result.is_ok());
    // What was answered late was all read before that answer, so the connection has survived it.
    assert_eq!(pool.status().open, 1);
}

#[tokio::test]
async fn suspicion_retires_a_connection_only_three_times_in_a_row() {
    let (mut server, mut pool) = serve(MANUAL, options()).await;
    let mut peer = open_and_prove(&mut pool, &mut server).await;
    let attempt = send(&mut pool);
    let stream = peer.request().await;
    let id = {
        let probe = send(&mut pool);
        let stream = peer.request().await;
        peer.answer(stream, 500, b"");
        in_time(probe).await.connection
    };
    for effect in [ConnectionEffect::Suspect, ConnectionEffect::Suspect, ConnectionEffect::Keep] {
        pool.note(id, effect);
    }
    pool.note(id, ConnectionEffect::Suspect);
    pool.note(id, ConnectionEffect::Suspect);
    assert_eq!(pool.room(), 99);
    pool.note(id, ConnectionEffect::Suspect);
    assert_eq!((pool.room(), pool.status().draining), (0, 1));
    peer.answer(stream, 200, b"");
    assert!(in_time(attempt).await.result.is_ok(), "what is in flight may end");
    assert_eq!(peer.event().await, Event::GoAway { code: 0 });
    until(&mut pool, |pool| pool.status().draining == 0).await;
}

#[tokio::test]
async fn bodies_of_all_sizes_arrive_whole() {
    let (mut server, mut pool) = serve(Mode::Auto { limit: 100 }, options()).await;
    let mut peer = open(&mut pool, &mut server).await;
    let first = send(&mut pool);
    peer.request().await;
    assert!(in_time(first).await.result.is_ok());
    // Around h2's thresholds (256, 1,024), FCM's and APNs' limits, and a TLS record.
    let sizes = [0, 1, 255, 256, 1_023, 1_024, 4_096, 5_120, 16_384, 20_000];
    let body = |size: usize| -> Bytes { (0..size).map(|n| u8::try_from(n % 251).expect("below 251")).collect() };
    let attempts: Vec<_> = sizes.iter().map(|&size| pool.send(request(body(size))).expect("room")).collect();
    for finished in in_time(futures::future::join_all(attempts)).await {
        assert!(finished.result.is_ok(), "{finished:?}");
    }
    let mut bodies = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    let mut whole = 0;
    while whole < sizes.len() {
        match peer.event().await {
            Event::Headers { stream, end, .. } => {
                bodies.entry(stream).or_default();
                whole += usize::from(end);
            }
            Event::Data { stream, body, end } => {
                bodies.entry(stream).or_default().extend(body);
                whole += usize::from(end);
            }
            other => panic!("{other:?}"),
        }
    }
    for (received, size) in bodies.into_values().zip(sizes) {
        assert!(received == body(size), "a body of {size} bytes");
    }
}

/// HPACK's table of 4,096 bytes would hold some ninety of these ids, and lose `apns-topic` to them; the next request's
/// headers would be longer. All but the first have the same length if the ids don't enter the table.
#[tokio::test]
async fn volatile_headers_do_not_drive_out_what_repeats() {
    let (mut server, mut pool) = serve(Mode::Auto { limit: 1 }, options()).await;
    let mut peer = open(&mut pool, &mut server).await;
    let mut lengths = Vec::new();
    for nth in 0..300 {
        let mut request = request("");
        let name = HeaderName::from_static;
        // Digits below 3 all have 5 bits in HPACK's Huffman code: every id has the same length.
        let id: String = (0..8).map(|place| char::from(b'0' + (nth / 3_u32.pow(place) % 3) as u8)).collect();
        request.headers.insert(name("apns-id"), HeaderValue::try_from(id).expect("digits"));
        request.headers.insert(name("apns-topic"), HeaderValue::from_static("com.example.chat"));
        let attempt = pool.send(request).expect("room");
        assert!(in_time(attempt).await.result.is_ok());
        match peer.event().await {
            Event::Headers { block, end: true, .. } => lengths.push(block.len()),
            other => panic!("{other:?}"),
        }
    }
    assert!(lengths[0] > lengths[1], "the first one fills the table");
    assert!(lengths[1..].iter().all(|length| *length == lengths[1]), "{lengths:?}");
}

/// h2's own server as a second opinion on what we send.
#[tokio::test]
async fn another_implementation_understands_us() {
    let ca = Authority::new();
    let tls = Arc::new(ca.server_config(&["h2"], |_| {}));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("accepted");
        let tls = tokio_rustls::TlsAcceptor::from(tls).accept(tcp).await.expect("TLS");
        let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
        let (request, mut respond) = connection.accept().await.expect("a request").expect("no error");
        let (head, mut body) = request.into_parts();
        let answering = async {
            let mut echo = Vec::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk.expect("a chunk");
                body.flow_control().release_capacity(chunk.len()).expect("received");
                echo.extend_from_slice(&chunk);
            }
            let answer = http::Response::builder().status(503).header("retry-after", "7").body(()).expect("a response");
            let mut stream = respond.send_response(answer, false).expect("answered");
            stream.send_data(Bytes::from(echo), true).expect("sent");
        };
        tokio::join!(answering, async { while connection.accept().await.is_some() {} });
        head
    });
    let mut pool = pool_to(address, &ca, options());
    pool.grow(1);
    until(&mut pool, |pool| pool.room() > 0).await;
    let mut request = request("echo me");
    request.headers.insert("apns-topic", HeaderValue::from_static("com.example"));
    let answer = in_time(pool.send(request).expect("room")).await.result.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (503, &b"echo me"[..]));
    assert_eq!(answer.headers["retry-after"], "7");
    drop(pool);
    let head = in_time(server).await.expect("no panic");
    assert_eq!(head.method, "POST");
    assert_eq!(head.uri, format!("https://localhost:{}/3/device/aa", address.port()).as_str());
    assert_eq!(head.headers["apns-topic"], "com.example");
}
