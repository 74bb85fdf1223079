mod buffer;
mod crash;
mod demand;
mod dispatchers;
mod link;
mod producer;
mod properties;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Produce, Produced};

const NONE: [u32; 0] = [];

/// What a source was asked for, in order.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<usize>>>);

impl Asked {
    fn note(&self, wanted: usize) {
        self.0.lock().unwrap().push(wanted);
    }

    fn seen(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

/// Counts up, as many as are wanted at a time.
struct Counter {
    next: u32,
    asked: Asked,
}

impl Produce for Counter {
    type Event = u32;

    async fn produce(&mut self, wanted: usize) -> Produced<u32> {
        self.asked.note(wanted);
        let first = self.next;
        self.next += u32::try_from(wanted).unwrap();
        Produced::Events((first..self.next).collect())
    }
}

fn counter() -> (Counter, Asked) {
    let asked = Asked::default();
    (Counter { next: 0, asked: asked.clone() }, asked)
}

/// Answers as it is told to, and waits until it is told.
struct Told {
    answers: mpsc::Receiver<Produced<u32>>,
    asked: Asked,
}

impl Produce for Told {
    type Event = u32;

    async fn produce(&mut self, wanted: usize) -> Produced<u32> {
        self.asked.note(wanted);
        self.answers.recv().await.unwrap_or(Produced::End)
    }
}

fn told() -> (Told, mpsc::Sender<Produced<u32>>, Asked) {
    let (tell, answers) = mpsc::channel(8);
    let asked = Asked::default();
    (Told { answers, asked: asked.clone() }, tell, asked)
}

/// Lets everybody run until nobody can: under a paused clock a sleep ends only when all tasks wait.
async fn quiet() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
