//! What comes in through the door: jobs posted over HTTP on loopback, each request answered when its jobs are on disk, by how
//! many jobs a request has and how many clients post at once; and the same while all of it is read and settled.
//!
//! The disk is the target directory's, every commit synced. A job is some 400 bytes, is read strictly and has an id of its own.
//! Clients are threads with one connection each, that write requests made before and wait for the answer; their CPU time is
//! told apart. `cargo bench --bench door` (`-- --quick` for a look); the figures stand in `src/door/mod.rs`.

mod measure;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tidegate::dispatch::Shedding;
use tidegate::door::{DoorLimits, Jobs, listen, routes, serve};
use tidegate::job::{RouteId, RouteTable};
use tidegate::telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use measure::store::Store;
use measure::{process_cpu, thread_cpu};

const PER_REQUEST: [usize; 3] = [1, 100, 1_000];
const CLIENTS: [usize; 3] = [1, 16, 64];
/// Rounds of each case; the median is shown.
const ROUNDS: usize = 5;

struct Place {
    store: Store,
    address: SocketAddr,
    stop: CancellationToken,
    _routes: watch::Sender<Arc<RouteTable>>,
    _shedding: watch::Sender<Shedding>,
}

impl Place {
    fn open() -> Self {
        let store = Store::open();
        let table = RouteTable::new([("chat".into(), [Some(RouteId(0)), None, None])]);
        let (routes_in, apps) = watch::channel(Arc::new(table));
        let (shedding_in, shedding) = watch::channel(Shedding::default());
        let stop = CancellationToken::new();
        let address = store.runtime.block_on(async {
            let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a port");
            let listen = listener.local_addr().expect("an address");
            let (limits, metrics) = (DoorLimits::default(), Arc::new(Metrics::default()));
            let jobs = Jobs {
                closed: stop.clone(),
                writer: store.writer.clone(),
                routes: apps,
                shedding,
                rate: None,
                listen,
                tokens: false,
                limits,
                metrics,
            };
            tokio::spawn(serve(listener, routes(jobs), limits, stop.clone()));
            listen
        });
        Self { store, address, stop, _routes: routes_in, _shedding: shedding_in }
    }

    /// Reads and settles so many, on disk.
    fn take(&mut self, jobs: usize) {
        self.store.take(jobs as u64);
        self.store.rest();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One client's requests of one round.
fn requests(client: usize, round: usize, count: usize, jobs: usize) -> Vec<Vec<u8>> {
    let token = "5f3a9c0b".repeat(8);
    let text = "x".repeat(240);
    let request = |nth: usize| {
        let line = |job: usize| {
            format!(
                r#"{{"id":"order-{round}-{client}-{nth}-{job}","app":"chat","to":[{{"apns":"{token}"}}],"data":{{"k":"{text}"}}}}"#
            ) + "\n"
        };
        let body: String = (0..jobs).map(line).collect();
        let head = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    (0..count).map(request).collect()
}

fn post(connection: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    connection.write_all(request).expect("the door reads");
    answer.clear();
    let mut chunk = [0; 16 << 10];
    let (head, length) = loop {
        let read = connection.read(&mut chunk).expect("the door answers");
        assert!(read > 0, "the door hung up");
        answer.extend_from_slice(&chunk[..read]);
        if let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
            assert!(text.starts_with("http/1.1 202"), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            break (head + 4, length.trim().parse::<usize>().expect("a number"));
        }
    };
    while answer.len() < head + length {
        let read = connection.read(&mut chunk).expect("the door answers");
        assert!(read > 0, "the door hung up");
        answer.extend_from_slice(&chunk[..read]);
    }
}

struct Result {
    seconds: f64,
    ours: Duration,
    clients: Duration,
}

/// All clients post what they have; with `through`, it is read and settled meanwhile.
fn round(place: &mut Place, of_clients: Vec<Vec<Vec<u8>>>, jobs: usize, through: bool) -> Result {
    let address = place.address;
    let gate = Arc::new(Barrier::new(of_clients.len() + 1));
    let clients: Vec<_> = of_clients
        .into_iter()
        .map(|requests| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                let mut connection = TcpStream::connect(address).expect("the door is open");
                connection.set_nodelay(true).expect("a socket");
                gate.wait();
                let (before, mut answer) = (thread_cpu(), Vec::new());
                for request in requests {
                    post(&mut connection, &request, &mut answer);
                }
                thread_cpu() - before
            })
        })
        .collect();
    gate.wait();
    let (start, before) = (Instant::now(), process_cpu());
    if through {
        place.take(jobs);
    }
    let clients = clients.into_iter().map(|client| client.join().expect("no panic")).sum();
    let (seconds, used) = (start.elapsed().as_secs_f64(), process_cpu() - before);
    if !through {
        place.take(jobs);
    }
    Result { seconds, ours: used.saturating_sub(clients), clients }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    println!(
        "{:>12} {:>8} {:>8} {:>10} {:>12} {:>14}",
        "jobs/request", "clients", "", "jobs/s", "CPU us/job", "clients' us"
    );
    for (way, through) in [("in", false), ("through", true)] {
        for per_request in PER_REQUEST {
            for clients in CLIENTS {
                show(way, through, per_request, clients, quick);
            }
        }
    }
}

fn show(way: &str, through: bool, per_request: usize, clients: usize, quick: bool) {
    let mut place = Place::open();
    let wanted = if per_request == 1 { clients * 200 } else { 100_000 };
    let wanted = if quick { wanted / 10 } else { wanted };
    let each = wanted.div_ceil(per_request * clients).max(1);
    let jobs = each * per_request * clients;
    let mut rates = Vec::new();
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let rounds = if quick { 1 } else { ROUNDS };
    for nth in 0..rounds {
        let of_clients = (0..clients).map(|client| requests(client, nth, each, per_request)).collect();
        let result = round(&mut place, of_clients, jobs, through);
        rates.push(jobs as f64 / result.seconds);
        (ours, theirs) = (ours + result.ours, theirs + result.clients);
    }
    rates.sort_by(f64::total_cmp);
    let a_job = |used: Duration| used.as_secs_f64() * 1e6 / (jobs * rounds) as f64;
    println!(
        "{per_request:>12} {clients:>8} {way:>8} {:>10.0} {:>12.1} {:>14.1}",
        rates[rounds / 2],
        a_job(ours),
        a_job(theirs)
    );
}
