//! One request under way.
//!
//! Its time covers the answer's body. Giving it up, by time-out or by dropping it, resets the stream (CANCEL), because a
//! stream that is only forgotten keeps its slot at the server (PROVIDERS 1.8).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use h2::RecvStream;
use h2::client::ResponseFuture;
use tokio::time::{Instant, Sleep, sleep};

use super::failure::{Failure, FailureKind};
use super::line::{ConnectionId, Slot};
use super::options::PoolOptions;
use crate::provider::Answer;
use crate::verdict::Sent;

/// How an attempt ended.
#[derive(Debug)]
pub struct Finished {
    /// The answer, or why there is none.
    pub result: Result<Answer, Failure>,
    /// From sending to the end.
    pub round_trip: Duration,
    /// By which connection it went.
    pub connection: ConnectionId,
}

/// A request under way; ready when it is answered or given up.
#[must_use = "dropping an attempt resets its stream"]
pub struct Attempt {
    // Before the slot: the stream is reset first, then its place is free.
    state: State,
    slot: Option<Slot>,
    deadline: Pin<Box<Sleep>>,
    max_answer: usize,
    started: Instant,
    connection: ConnectionId,
}

enum State {
    /// It never left.
    Failed(Option<Failure>),
    Head(ResponseFuture),
    Body(http::response::Parts, RecvStream, BytesMut),
    /// HTTP/1.1: head and body in one.
    Http1(BoxFuture<'static, Result<Answer, Failure>>),
    Done,
}

impl Attempt {
    pub(super) fn started(response: ResponseFuture, slot: Slot, options: &PoolOptions) -> Self {
        let connection = slot.line().id;
        Self {
            state: State::Head(response),
            slot: Some(slot),
            deadline: Box::pin(sleep(options.request_timeout)),
            max_answer: options.max_answer,
            started: Instant::now(),
            connection,
        }
    }

    /// A request on a connection that speaks HTTP/1.1.
    pub(super) fn http1(
        answer: BoxFuture<'static, Result<Answer, Failure>>,
        slot: Slot,
        options: &PoolOptions,
    ) -> Self {
        let connection = slot.line().id;
        Self {
            state: State::Http1(answer),
            slot: Some(slot),
            deadline: Box::pin(sleep(options.request_timeout)),
            max_answer: options.max_answer,
            started: Instant::now(),
            connection,
        }
    }

    /// The connection took no request any more.
    pub(super) fn unsent(failure: Failure, connection: ConnectionId) -> Self {
        Self {
            state: State::Failed(Some(failure)),
            slot: None,
            deadline: Box::pin(sleep(Duration::ZERO)),
            max_answer: 0,
            started: Instant::now(),
            connection,
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        loop {
            match &mut self.state {
                State::Failed(failure) => return Poll::Ready(Err(failure.take().expect("polled once when ready"))),
                State::Done => unreachable!("an attempt is not polled after its end"),
                State::Head(response) => match ready!(Pin::new(response).poll(cx)) {
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        self.state = State::Body(head, body, BytesMut::new());
                    }
                    Err(error) => return Poll::Ready(Err(self.explain(&error))),
                },
                State::Http1(answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    if let Ok(answer) = &answer {
                        self.proves(answer.status);
                    }
                    return Poll::Ready(answer);
                }
                State::Body(_, body, gathered) => match ready!(poll_body(body, gathered, self.max_answer, cx)) {
                    Ok(()) => return Poll::Ready(Ok(self.answer())),
                    Err(error) => return Poll::Ready(Err(self.explain(&error))),
                },
            }
        }
    }

    fn answer(&mut self) -> Answer {
        let State::Body(head, _, body) = std::mem::replace(&mut self.state, State::Done) else {
            unreachable!("an answer ends with its body")
        };
        self.proves(head.status);
        Answer { status: head.status, headers: head.headers, body: body.freeze() }
    }

    fn proves(&self, status: http::StatusCode) {
        if let Some(slot) = &self.slot {
            slot.line().prove();
            if !status.is_server_error() {
                slot.line().serve();
            }
        }
    }

    /// Adds what the connection knows to what the stream says.
    fn explain(&self, error: &h2::Error) -> Failure {
        let failure = Failure::of_stream(error);
        let Some(slot) = &self.slot else { return failure };
        let line = slot.line();
        match failure.kind {
            FailureKind::GoAway => failure.with_word(line.goaway_word()),
            FailureKind::ConnectionLost => {
                let failure = failure.with_word(line.goaway_word());
                line.end().map_or(failure.clone(), |end| failure.detailed(end))
            }
            _ => failure,
        }
    }
}

/// Gathers the body, up to the cap; what is beyond it is not read.
fn poll_body(
    body: &mut RecvStream,
    gathered: &mut BytesMut,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while !body.is_end_stream() {
        let Some(chunk) = ready!(body.poll_data(cx)) else { break };
        let chunk: Bytes = chunk?;
        // Can fail only if more is released than was received.
        let _ = body.flow_control().release_capacity(chunk.len());
        let taken = chunk.len().min(most - gathered.len());
        gathered.extend_from_slice(&chunk[..taken]);
        if gathered.len() == most {
            break;
        }
    }
    Poll::Ready(Ok(()))
}

impl Future for Attempt {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let this = &mut *self;
        let result = match this.poll_answer(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(cx));
                Err(Failure::new(FailureKind::Timeout, Sent::Unknown))
            }
        };
        this.state = State::Done;
        this.slot = None;
        Poll::Ready(Finished { result, round_trip: this.started.elapsed(), connection: this.connection })
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("connection", &self.connection).finish_non_exhaustive()
    }
}
