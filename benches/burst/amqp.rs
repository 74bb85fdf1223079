//! AMQP 0-9-1 in the raw, for the publisher and for the yardstick consumer: many frames in one write, and nothing else.
//!
//! A client that flushes each frame would take more of the machine than the pipeline that is measured. Blocking, one
//! channel, no heartbeat, no recovery: if something is wrong the bench ends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Messages in one write, at most.
const BATCH: u64 = 200;
/// Messages that may wait for their confirm.
const UNCONFIRMED: u64 = 4_000;
/// The yardstick consumer's acks cover so many deliveries.
const ACK_EVERY: u64 = 100;
const FRAME_END: u8 = 0xCE;
/// What a frame may hold, in bytes; the broker proposes as much.
const FRAME_MAX: u32 = 131_072;

/// A message that is to be published.
pub struct Message {
    /// Also its message id.
    pub id: String,
    pub routing_key: &'static str,
    pub body: Vec<u8>,
}

/// A connection with one open channel.
pub struct Peer {
    socket: TcpStream,
    inbox: Vec<u8>,
    read: usize,
    out: Vec<u8>,
}

impl Peer {
    /// Opens one as guest.
    pub fn open(port: u16) -> io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut peer = Self { socket, inbox: Vec::new(), read: 0, out: Vec::new() };
        peer.out.extend_from_slice(b"AMQP\x00\x00\x09\x01");
        peer.flush()?;
        peer.expect(10, 10)?;
        peer.method(0, 10, 11, Arguments::default().long(0).text("PLAIN").long_text(b"\0guest\0guest").text("en_US"));
        peer.flush()?;
        peer.expect(10, 30)?;
        peer.method(0, 10, 31, Arguments::default().short(1).long(FRAME_MAX).short(0));
        peer.call(0, 10, 40, Arguments::default().text("/").text("").octet(0))?;
        peer.call(1, 20, 10, Arguments::default().text(""))?;
        Ok(peer)
    }

    /// Publishes all, each confirmed when this returns; at most `rate` a second. `confirmed` counts as it goes.
    pub fn publish(
        &mut self,
        exchange: &str,
        rate: Option<f64>,
        confirmed: &AtomicU64,
        messages: impl Iterator<Item = Message>,
    ) -> io::Result<()> {
        self.call(1, 85, 10, Arguments::default().octet(0))?;
        let (begun, mut sent, mut confirms) = (Instant::now(), 0_u64, Confirms::default());
        // Two hundred writes a second are smooth enough for any rate that is asked for.
        let batch = rate.map_or(BATCH, |rate| crate::numbers::count(rate / 200.0).clamp(1, BATCH));
        let mut messages = messages.peekable();
        while messages.peek().is_some() {
            for message in messages.by_ref().take(usize::try_from(batch).unwrap_or(usize::MAX)) {
                self.write(exchange, &message);
                sent += 1;
            }
            self.flush()?;
            if let Some(rate) = rate {
                let due = begun + Duration::from_secs_f64(crate::numbers::float(sent) / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            // With a rate the confirms are read behind: they are small, and the socket's buffer holds them meanwhile.
            while sent - confirms.confirmed > UNCONFIRMED {
                self.confirm(&mut confirms)?;
                confirmed.store(confirms.confirmed, Ordering::Relaxed);
            }
        }
        while confirms.confirmed < sent {
            self.confirm(&mut confirms)?;
            confirmed.store(confirms.confirmed, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&mut self, exchange: &str, message: &Message) {
        self.method(1, 60, 40, Arguments::default().short(0).text(exchange).text(message.routing_key).octet(1));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut table = Arguments::default();
        table.text("x-tidegate-accepted-at").octet(b'l').long_long(now.as_millis().try_into().unwrap_or(u64::MAX));
        let mut header = Arguments::default();
        // The properties that follow: headers, delivery mode (2: persistent), message id.
        header.short(60).short(0).long_long(message.body.len() as u64).short(1 << 13 | 1 << 12 | 1 << 7);
        header.long_text(&table.0).octet(2).text(&message.id);
        self.frame(2, 1, &header.0);
        self.frame(3, 1, &message.body);
    }

    fn confirm(&mut self, confirms: &mut Confirms) -> io::Result<()> {
        let arguments = self.expect(60, 80)?;
        let tag = arguments.first_chunk::<8>().ok_or(io::ErrorKind::InvalidData)?;
        confirms.note(u64::from_be_bytes(*tag), arguments.get(8) == Some(&1));
        Ok(())
    }

    /// Takes `count` messages off a queue and acks them by the hundred: what a consumer costs a broker that does no more.
    pub fn consume(&mut self, queue: &str, prefetch: u16, count: u64) -> io::Result<()> {
        self.call(1, 60, 10, Arguments::default().long(0).short(prefetch).octet(0))?;
        self.call(1, 60, 20, Arguments::default().short(0).text(queue).text("yardstick").octet(0).long(0))?;
        for tag in 1..=count {
            self.expect(60, 60)?;
            if tag % ACK_EVERY == 0 || tag == count {
                self.method(1, 60, 80, Arguments::default().long_long(tag).octet(1));
                self.flush()?;
            }
        }
        // Channel.Close: what comes before its answer says that the acks were taken.
        self.call(1, 20, 40, Arguments::default().short(200).text("").short(0).short(0))?;
        Ok(())
    }

    /// A method and its answer, whose method number is the next one.
    fn call(&mut self, channel: u16, class: u16, method: u16, arguments: &Arguments) -> io::Result<Vec<u8>> {
        self.method(channel, class, method, arguments);
        self.flush()?;
        self.expect(class, method + 1)
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &Arguments) {
        let mut payload = Arguments::default();
        payload.short(class).short(method).0.extend_from_slice(&arguments.0);
        self.frame(1, channel, &payload.0);
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(&channel.to_be_bytes());
        self.out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.out.extend_from_slice(payload);
        self.out.push(FRAME_END);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads up to the next such method; its arguments. Content is passed over; a close, or anything refused, is an error.
    fn expect(&mut self, class: u16, method: u16) -> io::Result<Vec<u8>> {
        loop {
            let (kind, payload) = self.next_frame()?;
            if kind != 1 || payload.len() < 4 {
                continue;
            }
            let said = (u16::from_be_bytes([payload[0], payload[1]]), u16::from_be_bytes([payload[2], payload[3]]));
            match said {
                _ if said == (class, method) => return Ok(payload[4..].to_vec()),
                (10, 50) | (20, 40) | (60, 50 | 120) => {
                    let text = String::from_utf8_lossy(&payload[4..]).into_owned();
                    return Err(io::Error::other(format!("the broker refuses ({said:?}): {text}")));
                }
                _ => {}
            }
        }
    }

    fn next_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let have = &self.inbox[self.read..];
            if let Some(head) = have.first_chunk::<7>() {
                let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
                if have.len() >= size + 8 {
                    let frame = (head[0], have[7..7 + size].to_vec());
                    self.read += size + 8;
                    return Ok(frame);
                }
            }
            self.inbox.drain(..std::mem::take(&mut self.read));
            let mut chunk = [0; 65_536];
            match self.socket.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.inbox.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Which messages are confirmed: they may come out of order where several queues are meant.
#[derive(Default)]
struct Confirms {
    /// All up to this one are.
    confirmed: u64,
    beyond: VecDeque<bool>,
}

impl Confirms {
    fn note(&mut self, tag: u64, multiple: bool) {
        let Some(place) = usize::try_from(tag.wrapping_sub(self.confirmed)).ok().filter(|place| *place > 0) else {
            return;
        };
        if self.beyond.len() < place {
            self.beyond.resize(place, false);
        }
        match multiple {
            true => self.beyond.iter_mut().take(place).for_each(|one| *one = true),
            false => self.beyond[place - 1] = true,
        }
        while self.beyond.front() == Some(&true) {
            self.beyond.pop_front();
            self.confirmed += 1;
        }
    }
}

/// A method's arguments.
#[derive(Default)]
struct Arguments(Vec<u8>);

impl Arguments {
    fn octet(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn short(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long_long(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A short string: at most 255 bytes.
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(u8::try_from(text.len()).expect("the bench's names are short"));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A long string, or a table that was written before.
    fn long_text(&mut self, text: &[u8]) -> &mut Self {
        self.long(u32::try_from(text.len()).expect("the bench's texts are short"));
        self.0.extend_from_slice(text);
        self
    }
}
