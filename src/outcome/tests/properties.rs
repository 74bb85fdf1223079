//! Of the table and the book, what holds whatever happens.

use proptest::prelude::*;

use super::super::{Disposition, Left, OutcomeKind, dispose};
use super::*;
use crate::verdict::{Fate, Sent, Verdict};

proptest! {
    /// FLOW.md 3.6: no retry beyond the attempts or the time to live, none before the provider's own word; and what surely
    /// was not processed costs nothing.
    #[test]
    fn flow_3_6_no_retry_is_late_early_or_one_too_many(
        kind in 0_u8..3, after in 0_u64..100, attempts in 1_u8..=20, ttl in 0_u64..200, sample in 0.0..1.0, once in any::<bool>(),
    ) {
        let sent = [Sent::No, Sent::Refused, Sent::Unknown][usize::from(kind)];
        let (after, ttl) = (Duration::from_secs(after), Duration::from_secs(ttl));
        let left = Left { attempts, max_attempts: 5, resigned: false, ttl, now_or_never: once };
        match dispose(&Verdict::of(Fate::Retry { after, sent }), &left, sample) {
            Disposition::Again { delay, counts } => {
                prop_assert!(delay >= after && delay < ttl);
                prop_assert_eq!(counts, sent != Sent::No);
                prop_assert!(!counts || (attempts < 5 && !once));
            }
            Disposition::End(OutcomeKind::Failed, reason) => {
                prop_assert!(reason.is_some() && sent != Sent::No && (attempts >= 5 || once));
            }
            Disposition::End(OutcomeKind::Expired, _) => prop_assert!(after + Duration::from_secs(600) >= ttl),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// A job is settled once, when and only when the last of its pushes has ended, its events are told, and what it leaves
    /// behind is kept; and what is kept are just the pushes that shall come again.
    #[test]
    fn every_job_is_settled_once_and_not_too_soon(
        steps in prop::collection::vec((0_u8..5, any::<bool>()), 1..40), last_kept in any::<bool>(),
    ) {
        let mut book = Book::default();
        let job = draft(7, steps.len()).seal();
        let (mut untold, mut again, mut touched) = (0, Vec::new(), false);
        let mut keeps = Vec::new();
        let mut ends = Vec::new();
        for (index, (kind, tell)) in steps.iter().enumerate() {
            let step = match kind {
                0 => Step::Done(job.push(index)),
                1 => Step::Told(job.push(index)),
                2 => Step::Dead { push: job.push(index), reason: "why".into(), told: true },
                3 => later(&job, index, 1, 10),
                _ => Step::Returned(job.push(index)),
            };
            untold += u32::from(matches!(kind, 1 | 2));
            touched |= *kind != 4;
            if *kind >= 3 {
                again.push(u16::try_from(index).unwrap());
            }
            let mut due = note(&mut book, step);
            if *tell && untold > 0 {
                untold -= 1;
                book.told(&job, &mut due);
            }
            prop_assert!(index + 1 == steps.len() || due.keeps.is_empty(), "gathered until the last has ended");
            keeps.extend(due.keeps.into_iter().flat_map(|(_, keeps)| keeps));
            ends.push((due.settled.len(), due.untouched.len()));
        }
        let mut due = Due::default();
        let wait = !keeps.is_empty();
        if wait && !last_kept {
            book.kept(&job, &mut due);
        }
        for _ in 0..untold {
            prop_assert!(due.settled.is_empty(), "an event is not told");
            book.told(&job, &mut due);
        }
        if wait && last_kept {
            prop_assert!(due.settled.is_empty(), "what it leaves behind is not kept");
            book.kept(&job, &mut due);
        }
        ends.push((due.settled.len(), due.untouched.len()));
        let (settled, untouched) = ends.iter().fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1));
        prop_assert_eq!((settled, untouched), if touched { (1, 0) } else { (0, 1) });
        prop_assert!(book.is_empty());
        let mut kept: Vec<u16> = keeps
            .iter()
            .flat_map(|keep| match keep {
                Keep::Later(later) => later.targets.clone(),
                Keep::Dead(_) => Vec::new(),
            })
            .collect();
        kept.sort_unstable();
        prop_assert_eq!(kept, if touched { again } else { Vec::new() });
    }
}
