//! A model of the broker and of the source that consumes from it: queues, what is out unsettled, durable retries, and
//! channels that can be lost.
//!
//! What the real source does in `source/amqp` is done here in a few lines: it hands down no more than it was asked for
//! and its prefetch allows, it remembers what became of jobs whose channel was lost before they come again (`hands`), and
//! it keeps retries in levels of fixed delay.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::job::{
    Acknowledger, Envelope, FcmTarget, Job, Lane, Origin, Provider, Receipt, RouteId, SourceName, Target, UnixMillis,
};
use tidegate::source::amqp::RetryLevel;

/// A job as its caller enqueued it. Its pushes are numbered from `first`, over all jobs.
pub struct Enqueued {
    pub app: Arc<str>,
    pub provider: Provider,
    pub route: RouteId,
    pub lane: Lane,
    pub accepted: Duration,
    pub first: u32,
    pub targets: u16,
    pub ttl: Option<u32>,
    /// The device and the key of a job that may be collapsed.
    pub collapse: Option<u32>,
}

/// A message: a job, or a part of it that comes again.
#[derive(Clone)]
pub struct Letter {
    pub number: u64,
    pub job: u32,
    pub selected: Option<Box<[u16]>>,
    pub attempts: u8,
}

impl Letter {
    /// The job's targets that it is about.
    pub fn targets(&self, job: &Enqueued) -> Vec<u16> {
        self.selected.as_ref().map_or_else(|| (0..job.targets).collect(), |selected| selected.to_vec())
    }
}

/// What was said of one channel's jobs.
#[derive(Default)]
struct Said {
    settled: Vec<u64>,
    given_back: Vec<u64>,
    excepted: Vec<(u64, Vec<u16>)>,
}

/// One channel.
pub struct Channel {
    live: AtomicBool,
    said: Mutex<Said>,
}

impl Channel {
    fn open() -> Arc<Self> {
        Arc::new(Self { live: AtomicBool::new(true), said: Mutex::default() })
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().expect("the world has one thread")
    }
}

impl Acknowledger for Channel {
    fn settle(&self, tags: Vec<u64>) {
        self.said().settled.extend(tags);
    }

    fn give_back(&self, tags: Vec<u64>) {
        self.said().given_back.extend(tags);
    }

    fn settle_except(&self, tag: u64, targets: Vec<u16>) {
        self.said().excepted.push((tag, targets));
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }
}

/// What became of a message.
pub enum Fate {
    /// It is gone from the broker, and with it the responsibility for all its pushes.
    Settled(Letter),
    /// Something was said of a tag that stands for nothing.
    Unknown(u64),
}

/// The broker, and what the source has in hand.
pub struct Broker {
    pub jobs: Vec<Enqueued>,
    ready: [VecDeque<Letter>; 3],
    levels: BTreeMap<Duration, VecDeque<(Duration, Letter)>>,
    channel: Arc<Channel>,
    unsettled: BTreeMap<u64, Letter>,
    /// How many of them each lane's queue gave.
    out: [usize; 3],
    /// Channels that were lost, and their jobs whose fate is not known yet.
    lost: Vec<(Arc<Channel>, BTreeMap<u64, Letter>)>,
    next_tag: u64,
    next_letter: u64,
    queues: [Arc<str>; 3],
}

impl Broker {
    pub fn new() -> Self {
        Self {
            jobs: Vec::new(),
            ready: Default::default(),
            levels: BTreeMap::new(),
            channel: Channel::open(),
            unsettled: BTreeMap::new(),
            out: [0; 3],
            lost: Vec::new(),
            next_tag: 1,
            next_letter: 1,
            queues: Lane::ALL.map(|lane| lane.as_str().into()),
        }
    }

    fn letter(&mut self, job: u32, selected: Option<Box<[u16]>>, attempts: u8) -> Letter {
        self.next_letter += 1;
        Letter { number: self.next_letter, job, selected, attempts }
    }

    /// A caller enqueues a job; the number of its message.
    pub fn enqueue(&mut self, job: Enqueued) -> u64 {
        let lane = job.lane.index();
        let number = u32::try_from(self.jobs.len()).expect("far fewer jobs");
        self.jobs.push(job);
        let letter = self.letter(number, None, 0);
        let number = letter.number;
        self.ready[lane].push_back(letter);
        number
    }

    /// Keeps a part of a job durably; the number of its message, and when it comes again.
    pub fn keep(
        &mut self,
        job: u32,
        targets: Vec<u16>,
        attempts: u8,
        delay: Duration,
        at: Duration,
    ) -> (u64, Duration) {
        let letter = self.letter(job, Some(targets.into()), attempts);
        let (number, level) = (letter.number, RetryLevel::of(delay).delay);
        let due = at + level;
        self.levels.entry(level).or_default().push_back((due, letter));
        (number, due)
    }

    /// Puts back in line what has waited for long enough.
    pub fn due(&mut self, at: Duration) {
        for waiting in self.levels.values_mut() {
            while waiting.front().is_some_and(|(due, _)| *due <= at) {
                let (_, letter) = waiting.pop_front().expect("it was looked at");
                self.ready[self.jobs[letter.job as usize].lane.index()].push_back(letter);
            }
        }
    }

    pub fn ready(&self, lane: Lane) -> usize {
        self.ready[lane.index()].len()
    }

    /// Jobs that the pipeline has of this lane's queue.
    pub fn out(&self, lane: Lane) -> usize {
        self.out[lane.index()]
    }

    /// Messages that are out.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Pushes that are out: what may be doubled if the process dies now.
    pub fn pushes_out(&self) -> usize {
        self.unsettled.values().map(|letter| letter.targets(&self.jobs[letter.job as usize]).len()).sum()
    }

    /// Takes the next job of a lane's queue, as the pipeline gets it.
    pub fn take(&mut self, lane: Lane, base: Instant, now: Instant) -> Option<(Letter, Arc<Envelope>)> {
        let letter = self.ready[lane.index()].pop_front()?;
        let tag = self.next_tag;
        self.next_tag += 1;
        let envelope = self.envelope(&letter, tag, base, now);
        self.unsettled.insert(tag, letter.clone());
        self.out[lane.index()] += 1;
        Some((letter, envelope))
    }

    fn envelope(&self, letter: &Letter, tag: u64, base: Instant, now: Instant) -> Arc<Envelope> {
        static BODY: [u8; 300] = [b' '; 300];
        let job = &self.jobs[letter.job as usize];
        let device = |nth: u16| job.collapse.unwrap_or(job.first + u32::from(nth));
        let target = |nth: u16| match job.provider {
            Provider::Fcm => Target::Fcm(FcmTarget::Token(format!("token-{}", device(nth)).into())),
            _ => Target::Apns(format!("{:08x}", device(nth)).into()),
        };
        let mut routes = [None; 3];
        routes[job.provider.index()] = Some(job.route);
        let read = Job {
            id: letter.job.to_string().into(),
            app: (&*job.app).into(),
            to: (0..job.targets).map(target).collect(),
            priority: None,
            ttl: job.ttl,
            collapse_key: job.collapse.map(|_| "key".into()),
            notification: None,
            data: None,
            apns: None,
            fcm: None,
            webpush: None,
            traceparent: None,
        };
        let origin = Origin {
            source: SourceName::Amqp,
            queue: Arc::clone(&self.queues[job.lane.index()]),
            receipt: Receipt { acknowledger: Arc::clone(&self.channel) as Arc<dyn Acknowledger>, tag },
            body: Bytes::from_static(&BODY),
            // The callers' wall clock counts jobs: who enqueued first is all that anybody asks it.
            accepted_at: UnixMillis(letter.job.into()),
            accepted: base + job.accepted,
            deadline: None,
            attempts: letter.attempts,
            lane: job.lane,
            selected: letter.selected.clone(),
            exhausted: false,
        };
        let mut envelope = Envelope::new(read, origin, routes);
        Arc::get_mut(&mut envelope).expect("nobody else has it yet").taken = now;
        envelope
    }

    /// Hears what was said of its jobs.
    pub fn hear(&mut self, fates: &mut Vec<Fate>) {
        let said = std::mem::take(&mut *self.channel.said());
        for tag in said.settled {
            fates.push(self.unsettled.remove(&tag).map_or(Fate::Unknown(tag), |letter| {
                self.out[self.jobs[letter.job as usize].lane.index()] -= 1;
                Fate::Settled(letter)
            }));
        }
        for tag in said.given_back {
            match self.unsettled.remove(&tag) {
                Some(letter) => {
                    let lane = self.jobs[letter.job as usize].lane.index();
                    self.out[lane] -= 1;
                    self.ready[lane].push_front(letter);
                }
                None => fates.push(Fate::Unknown(tag)),
            }
        }
        fates.extend(said.excepted.into_iter().map(|(tag, _)| Fate::Unknown(tag)));
        if !self.lost.is_empty() {
            self.hear_of_the_lost(fates);
        }
    }

    /// The broker has these jobs back already; they come again as soon as it is known what is left of them.
    fn hear_of_the_lost(&mut self, fates: &mut Vec<Fate>) {
        let mut back = Vec::new();
        for (channel, open) in &mut self.lost {
            let said = std::mem::take(&mut *channel.said());
            for tag in said.settled {
                fates.push(open.remove(&tag).map_or(Fate::Unknown(tag), Fate::Settled));
            }
            for tag in said.given_back {
                match open.remove(&tag) {
                    Some(letter) => back.push(letter),
                    None => fates.push(Fate::Unknown(tag)),
                }
            }
            for (tag, rest) in said.excepted {
                match open.remove(&tag) {
                    Some(letter) => back.push(Letter { selected: Some(rest.into()), ..letter }),
                    None => fates.push(Fate::Unknown(tag)),
                }
            }
        }
        self.lost.retain(|(_, open)| !open.is_empty());
        self.back(back);
    }

    fn back(&mut self, mut letters: Vec<Letter>) {
        letters.sort_by_key(|letter| letter.number);
        for letter in letters.into_iter().rev() {
            self.ready[self.jobs[letter.job as usize].lane.index()].push_front(letter);
        }
    }

    /// The channel is lost, and with it the right to settle what it gave.
    pub fn cut(&mut self) {
        let channel = std::mem::replace(&mut self.channel, Channel::open());
        channel.live.store(false, Ordering::Relaxed);
        self.lost.push((channel, std::mem::take(&mut self.unsettled)));
        self.out = [0; 3];
    }

    /// The process is dead: nobody remembers anything.
    pub fn crash(&mut self) {
        let unsettled = std::mem::take(&mut self.unsettled);
        let lost = std::mem::take(&mut self.lost).into_iter().flat_map(|(_, open)| open.into_values());
        let letters = unsettled.into_values().chain(lost).collect();
        self.channel = Channel::open();
        self.out = [0; 3];
        self.back(letters);
    }

    /// The numbers of all messages there are, wherever.
    pub fn messages(&self) -> HashSet<u64> {
        let ready = self.ready.iter().flatten().map(|letter| letter.number);
        let delayed = self.levels.values().flatten().map(|(_, letter)| letter.number);
        let out = self.unsettled.values().map(|letter| letter.number);
        let lost = self.lost.iter().flat_map(|(_, open)| open.values().map(|letter| letter.number));
        ready.chain(delayed).chain(out).chain(lost).collect()
    }
}
