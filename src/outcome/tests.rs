mod properties;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Book, Due, Step};
use crate::job::Envelope;
use crate::job::fixture::{Remembers, draft};
use crate::source::Keep;

fn note(book: &mut Book, step: Step) -> Due {
    let mut due = Due::default();
    book.note(step, &mut due);
    due
}

fn settled(due: &Due) -> Vec<u64> {
    due.settled.iter().map(|job| job.origin.receipt.tag).collect()
}

fn later(job: &Arc<Envelope>, index: usize, attempts: u8, seconds: u64) -> Step {
    let mut push = job.push(index);
    push.attempts = attempts;
    Step::Later { push, delay: Duration::from_secs(seconds) }
}

#[test]
fn a_plain_job_is_settled_with_its_last_push_and_never_entered() {
    let (mut book, job) = (Book::default(), draft(7, 3).seal());
    assert!(settled(&note(&mut book, Step::Done(job.push(2)))).is_empty());
    assert!(settled(&note(&mut book, Step::Done(job.push(0)))).is_empty());
    assert_eq!(settled(&note(&mut book, Step::Done(job.push(1)))), [7]);
    assert!(book.is_empty());
}

#[test]
fn an_event_must_be_durable_before_its_job_is_settled() {
    let (mut book, job) = (Book::default(), draft(7, 2).seal());
    let mut due = note(&mut book, Step::Told(job.push(0)));
    book.told(&job, &mut due);
    assert!(settled(&due).is_empty(), "one push has not ended");
    let mut due = note(&mut book, Step::Told(job.push(1)));
    assert!(settled(&due).is_empty(), "its event is not durable");
    book.told(&job, &mut due);
    assert_eq!(settled(&due), [7]);
    assert!(book.is_empty());
}

#[test]
fn only_the_unsettled_targets_come_again_and_in_few_messages() {
    let (mut book, job) = (Book::default(), draft(7, 6).seal());
    for step in [later(&job, 4, 1, 10), later(&job, 1, 1, 8), later(&job, 2, 2, 10), Step::Done(job.push(0))] {
        assert!(note(&mut book, step).keeps.is_empty(), "it is gathered until the last push has ended");
    }
    note(&mut book, Step::Done(job.push(3)));
    let mut due = note(&mut book, Step::Done(job.push(5)));
    assert!(settled(&due).is_empty(), "not before the retries are durable");
    let [(_, keeps)] = &due.keeps[..] else { panic!("one job leaves something behind") };
    let retries: Vec<_> = keeps
        .iter()
        .map(|keep| match keep {
            Keep::Later(later) => (later.targets.clone(), later.attempts, later.delay.as_secs()),
            Keep::Dead(_) => panic!("nothing is dead"),
        })
        .collect();
    assert_eq!(retries, [(vec![1, 4], 1, 10), (vec![2], 2, 10)], "8 s is rounded up to share a message with 10 s");
    due.keeps.clear();
    book.kept(&job, &mut due);
    assert_eq!(settled(&due), [7]);
}

#[test]
fn a_failed_push_is_a_dead_letter_with_its_reason_and_an_event() {
    let (mut book, job) = (Book::default(), draft(7, 1).seal());
    let step = Step::Dead { push: job.push(0), reason: "InternalServerError".into(), told: true };
    let mut due = note(&mut book, step);
    let (_, keeps) = &due.keeps[0];
    let Keep::Dead(dead) = &keeps[0] else { panic!("it is a dead letter") };
    assert_eq!((&dead.targets[..], &*dead.reason), (&[0][..], "InternalServerError"));
    book.kept(&job, &mut due);
    assert!(settled(&due).is_empty(), "its event is not durable");
    book.told(&job, &mut due);
    assert_eq!(settled(&due), [7]);
}

#[test]
fn an_untouched_job_goes_back_whole_and_a_touched_one_as_the_rest_of_it() {
    let (mut book, untouched, touched) = (Book::default(), draft(7, 2).seal(), draft(8, 2).seal());
    note(&mut book, Step::Returned(untouched.push(0)));
    let due = note(&mut book, Step::Returned(untouched.push(1)));
    assert_eq!(due.untouched.iter().map(|job| job.origin.receipt.tag).collect::<Vec<_>>(), [7]);
    assert!(due.keeps.is_empty() && settled(&due).is_empty());

    note(&mut book, Step::Done(touched.push(0)));
    let mut due = note(&mut book, Step::Returned(touched.push(1)));
    assert!(due.untouched.is_empty());
    let Keep::Later(rest) = &due.keeps[0].1[0] else { panic!("it comes again") };
    assert_eq!((&rest.targets[..], rest.attempts, rest.delay), (&[1][..], 0, Duration::ZERO));
    book.kept(&touched, &mut due);
    assert_eq!(settled(&due), [8]);
    assert!(book.is_empty());
}

#[test]
fn of_a_job_that_its_source_took_back_no_retry_is_kept_but_the_rest_is_named() {
    let acknowledger = Arc::new(Remembers::default());
    let (mut book, job) = (Book::default(), draft(7, 4).acknowledged_by(&acknowledger).seal());
    acknowledger.lost.store(true, Ordering::Relaxed);
    note(&mut book, later(&job, 3, 1, 10));
    note(&mut book, Step::Done(job.push(0)));
    note(&mut book, Step::Dead { push: job.push(2), reason: "Gone".into(), told: false });
    let mut due = note(&mut book, Step::Returned(job.push(1)));
    let [(_, keeps)] = &due.keeps[..] else { panic!("the dead letter is kept: that push has ended") };
    assert!(matches!(&keeps[..], [Keep::Dead(dead)] if dead.targets == [2]), "a retry would double what comes again");
    assert!(due.partly.is_empty(), "not before the dead letter is durable");
    book.kept(&job, &mut due);
    let [(_, rest)] = &due.partly[..] else { panic!("it is partly done") };
    assert_eq!((&rest[..], settled(&due)), (&[1, 3][..], vec![]));
    assert!(book.is_empty());
}
