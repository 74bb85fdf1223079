use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn clocks() -> Clocks {
    Clocks { wall: UnixMillis(1_800_000_000_000), steady: Instant::now() }
}

fn header(name: &str, value: AMQPValue) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(name.into(), value);
    table
}

#[test]
fn a_timestamp_in_the_future_is_now() {
    let now = clocks();
    let ahead = BasicProperties::default().with_timestamp(now.wall.seconds() + 3600);
    assert_eq!(accepted_at(&ahead, None, now.wall), now.wall);
    let past = BasicProperties::default().with_timestamp(now.wall.seconds() - 60);
    assert_eq!(accepted_at(&past, None, now.wall), UnixMillis(now.wall.0 - 60_000));
    let ours = header(names::ACCEPTED_AT, AMQPValue::LongLongInt(1_799_999_999_123));
    assert_eq!(accepted_at(&past, Some(&ours), now.wall), UnixMillis(1_799_999_999_123));
}

#[test]
fn the_earlier_deadline_holds_and_one_long_past_is_past() {
    let now = clocks();
    let until = |properties: &BasicProperties, table: Option<&FieldTable>| {
        let end = deadline(properties, table, now.wall, now).unwrap().unwrap();
        end.checked_duration_since(now.steady)
    };
    let soon = BasicProperties::default().with_expiration("500".into());
    let later = header(names::DEADLINE, AMQPValue::LongLongInt(1_800_000_002_000));
    assert_eq!(until(&soon, Some(&later)), Some(Duration::from_millis(500)));
    assert_eq!(until(&BasicProperties::default(), Some(&later)), Some(Duration::from_secs(2)));
    let past = header(names::DEADLINE, AMQPValue::LongString("1".into()));
    assert_eq!(until(&soon, Some(&past)), None, "1970 is over, however long this machine has been up");
    let never = header(names::DEADLINE, AMQPValue::LongLongInt(i64::MAX));
    assert!(deadline(&BasicProperties::default(), Some(&never), now.wall, now).is_ok());
    let odd = header(names::DEADLINE, AMQPValue::Boolean(true));
    assert_eq!(deadline(&soon, Some(&odd), now.wall, now).unwrap_err().path, "x-deadline");
    let odd = BasicProperties::default().with_expiration("soon".into());
    assert_eq!(deadline(&odd, None, now.wall, now).unwrap_err().path, "expiration");
}

#[test]
fn targets_that_are_not_ascending_or_not_there_are_refused() {
    for text in ["", "a", "3,1", "1,1", "5-3", "7", "0-7", "-1", "0,,1"] {
        assert_eq!(parse_targets(text, 7), None, "{text}");
    }
    assert_eq!(format_targets(&[0, 3, 4, 5, 6, 7, 12]), "0,3-7,12");
}

proptest! {
    #[test]
    fn targets_survive_the_header(set in prop::collection::btree_set(0..1000u16, 1..1000)) {
        let targets: Vec<u16> = set.into_iter().collect();
        let parsed = parse_targets(&format_targets(&targets), 1000);
        prop_assert_eq!(parsed.as_deref(), Some(targets.as_slice()));
    }

    #[test]
    fn no_header_text_panics(text in ".*") {
        let _ = parse_targets(&text, 1000);
    }
}
