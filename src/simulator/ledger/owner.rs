//! The task that owns the book, and how others reach it.

use tokio::sync::{mpsc, oneshot};

use super::{Book, Entry, LedgerSnapshot, PushPage, PushQuery};
use crate::job::Provider;

/// Messages that may wait for the owner: a connection that fills it waits, so the ledger holds no unbounded past.
const WAITING: usize = 1024;

enum Message {
    Entries(Provider, Vec<Entry>),
    Snapshot(oneshot::Sender<LedgerSnapshot>),
    Pushes(PushQuery, oneshot::Sender<PushPage>),
}

/// A way to the ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct Ledger {
    messages: mpsc::Sender<Message>,
}

/// The owner's end.
pub(in crate::simulator) struct Inbox {
    messages: mpsc::Receiver<Message>,
}

impl Ledger {
    /// A ledger; its inbox is for [`run`].
    pub(in crate::simulator) fn new() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { messages: sender }, Inbox { messages: receiver })
    }

    /// Enters what happened at a door. When this is done, the next snapshot has it.
    pub(in crate::simulator) async fn enter(&self, provider: Provider, entries: Vec<Entry>) {
        if !entries.is_empty() {
            // The owner is gone only when the simulator is: nobody will ask.
            let _ = self.messages.send(Message::Entries(provider, entries)).await;
        }
    }

    /// The figures now; empty ones after the simulator's end.
    pub(in crate::simulator) async fn snapshot(&self) -> LedgerSnapshot {
        let (sender, receiver) = oneshot::channel();
        let _ = self.messages.send(Message::Snapshot(sender)).await;
        receiver.await.unwrap_or_default()
    }

    /// The pushes asked for.
    pub(in crate::simulator) async fn pushes(&self, query: PushQuery) -> PushPage {
        let (sender, receiver) = oneshot::channel();
        let _ = self.messages.send(Message::Pushes(query, sender)).await;
        receiver.await.unwrap_or_default()
    }
}

/// Keeps the book until every way to it is gone.
pub(in crate::simulator) async fn run(mut inbox: Inbox) {
    let mut book = Book::default();
    while let Some(message) = inbox.messages.recv().await {
        match message {
            Message::Entries(provider, entries) => entries.into_iter().for_each(|entry| book.enter(provider, entry)),
            // An asker that has left needs no answer.
            Message::Snapshot(asker) => drop(asker.send(book.snapshot())),
            Message::Pushes(query, asker) => drop(asker.send(book.pushes(&query))),
        }
    }
}
