//! Under any mixture of a server's faults: every attempt ends, no stream limit is passed, and what is said to be surely
//! unprocessed was not processed.

#[path = "support/h2_server.rs"]
mod h2_server;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use h2_server::{Authority, Event, Mode, Peer, REFUSED_STREAM, Server};
use http::HeaderMap;
use tidegate::provider::http2::{Pool, PoolOptions};
use tidegate::provider::{Endpoint, Request, tls};
use tidegate::verdict::Sent;

/// Requests, each with its number as the body.
const REQUESTS: u32 = 4_000;
/// The largest stream limit the server ever gives.
const MOST_STREAMS: u32 = 40;

/// What the server did with which request.
#[derive(Default)]
struct Book {
    processed: HashSet<u32>,
    seen: HashSet<u32>,
    most_open: usize,
}

/// A server's connection that misbehaves in every way that HTTP/2 allows.
struct Unruly {
    peer: Peer,
    book: Arc<Mutex<Book>>,
    random: fastrand::Rng,
    open: HashSet<u32>,
    /// GOAWAY was said: what is above this stream is not looked at.
    last: Option<u32>,
    first: bool,
}

impl Unruly {
    async fn run(mut self) {
        loop {
            let event = match tokio::time::timeout(Duration::from_secs(60), self.peer.events.recv()).await {
                Ok(Some(event)) => event,
                _ => return,
            };
            match event {
                Event::Headers { stream, .. } => self.opened(stream),
                Event::Reset { stream, .. } => {
                    self.open.remove(&stream);
                }
                Event::Data { stream, body, end: true } => {
                    let number = std::str::from_utf8(&body).expect("text").parse().expect("a number");
                    if !self.asked(stream, number) {
                        return;
                    }
                }
                Event::Closed => return,
                _ => {}
            }
        }
    }

    fn opened(&mut self, stream: u32) {
        self.open.insert(stream);
        let mut book = self.book.lock().expect("no panic");
        book.most_open = book.most_open.max(self.open.len());
    }

    /// False: the socket was closed.
    fn asked(&mut self, stream: u32, number: u32) -> bool {
        let mut book = self.book.lock().expect("no panic");
        book.seen.insert(number);
        if self.last.is_some_and(|last| stream > last) {
            return true;
        }
        let die = if std::mem::take(&mut self.first) { 99 } else { self.random.u32(0..1_000) };
        match die {
            0..50 => {
                self.peer.reset(stream, REFUSED_STREAM);
                self.open.remove(&stream);
                return true;
            }
            50..55 => {
                self.peer.hang_up();
                book.processed.insert(number);
                return false;
            }
            55..65 => {
                // This one is looked at, what comes after it is not.
                self.peer.goaway(stream, 0, r#"{"reason":"Shutdown"}"#);
                self.last = Some(stream);
            }
            65..85 => self.peer.limit(self.random.u32(1..=MOST_STREAMS)),
            85..95 => {
                book.processed.insert(number);
                return true; // never answered
            }
            _ => {}
        }
        book.processed.insert(number);
        self.open.remove(&stream);
        match self.random.u8(0..10) {
            0 => self.peer.answer(stream, 500, br#"{"reason":"InternalServerError"}"#),
            1 => self.peer.reset(stream, 2),
            _ => self.peer.answer(stream, 200, b""),
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_surely_unprocessed_was_not_processed() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let ca = Authority::new();
    let mode = Mode::Manual { limit: Some(MOST_STREAMS), pong: true };
    let mut server = Server::start(ca.server_config(&["h2"], |_| {}), mode).await;
    let port = server.address.port();
    let book = Arc::new(Mutex::new(Book::default()));
    let shared = Arc::clone(&book);
    let address = server.address;
    let serving = tokio::spawn(async move {
        while let Some(peer) = server.peers.recv().await {
            let random = random.fork();
            let unruly =
                Unruly { peer, book: Arc::clone(&shared), random, open: HashSet::new(), last: None, first: true };
            tokio::spawn(unruly.run());
        }
    });
    let endpoint = Endpoint { host: "localhost".to_owned(), port, extra_roots: None };
    let mut options = PoolOptions::apns(4, Duration::from_millis(500));
    options.idle_timeout = Duration::from_millis(200);
    let mut pool = Pool::with_resolver(
        &endpoint,
        tls::http2(Some(&ca.pem), None).expect("roots"),
        options,
        Arc::new(move |_, _| Box::pin(async move { Ok(vec![address]) })),
    )
    .expect("a host name");

    let (ended, unprocessed) =
        tokio::time::timeout(Duration::from_secs(120), drive(&mut pool)).await.expect("every attempt ends");
    assert_eq!(ended, REQUESTS);
    assert_eq!(pool.status().in_flight, 0);
    let book = book.lock().expect("no panic");
    assert!(!unprocessed.is_empty(), "the faults happened");
    let wrong: Vec<_> = unprocessed.intersection(&book.processed).collect();
    assert!(wrong.is_empty(), "seed {seed}: processed, and said not to be: {wrong:?}");
    assert!(book.most_open <= MOST_STREAMS as usize, "seed {seed}: {} streams at once", book.most_open);
    assert!(book.seen.len() > REQUESTS as usize / 2, "most were sent: {}", book.seen.len());
    serving.abort();
}

/// Sends all requests once each: how many ended, and which surely were not processed.
async fn drive(pool: &mut Pool) -> (u32, HashSet<u32>) {
    let mut attempts = FuturesUnordered::new();
    let (mut next, mut ended, mut unprocessed) = (0, 0, HashSet::new());
    while ended < REQUESTS {
        while next < REQUESTS && pool.room() > 0 {
            let path = "/3/device/aa".parse().expect("a path");
            let request = Request { path, headers: HeaderMap::new(), body: next.to_string().into() };
            // The server may have taken the room away in between: the other threads read what it says.
            let Ok(attempt) = pool.send(request) else { break };
            attempts.push(async move { (next, attempt.await) });
            next += 1;
        }
        pool.grow((REQUESTS - next) as usize);
        tokio::select! {
            Some((number, finished)) = attempts.next() => {
                ended += 1;
                match &finished.result {
                    Ok(_) => {}
                    Err(failure) => {
                        if failure.sent == Sent::No {
                            unprocessed.insert(number);
                        }
                        pool.note(finished.connection, failure.verdict().connection);
                    }
                }
            }
            () = pool.changed() => {}
        }
    }
    (ended, unprocessed)
}
