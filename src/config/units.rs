//! Values with their units: `"20s"`, `"4MiB"`, `"600000/min"`.
//!
//! One whole number and one unit, nothing between them. Sums (`1h30min`) and fractions are refused: a value that can be
//! written in one way only can be searched for. The same lists of units serve reading, writing and the schema.

use crate::flow::Rate;

/// A unit's name and what it is worth in the smallest one.
pub(super) type Unit = (&'static str, u64);

/// Of time, in milliseconds.
pub(super) const TIME: &[Unit] = &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Of sizes, in bytes: powers of 1,024 only, so that nobody has to guess.
pub(super) const SIZE: &[Unit] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
/// What a rate may be counted over, in milliseconds; a rate reads and writes itself.
pub(super) const PER: &[Unit] = Rate::PER;

/// Why a text is not a value with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// No number at its start.
    Number,
    /// A number alone.
    NoUnit,
    /// Something after the number that is none of the units.
    Unit,
    /// More than can be counted.
    TooLarge,
}

/// Reads a number and one of `units`: the amount in the smallest unit.
pub(super) fn measure(text: &str, units: &[Unit]) -> Result<u64, Bad> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Bad::Number);
    }
    if unit.is_empty() {
        return Err(Bad::NoUnit);
    }
    let (_, worth) = units.iter().find(|(name, _)| *name == unit).ok_or(Bad::Unit)?;
    let number: u64 = number.parse().map_err(|_| Bad::TooLarge)?;
    number.checked_mul(*worth).ok_or(Bad::TooLarge)
}

/// Writes an amount in the largest unit that leaves it whole.
pub(super) fn write(amount: u64, units: &[Unit]) -> String {
    let fitting = units.iter().rev().find(|(_, worth)| amount >= *worth && amount.is_multiple_of(*worth));
    let (name, worth) = fitting.unwrap_or(if amount == 0 && units.len() > 1 { &units[1] } else { &units[0] });
    format!("{}{name}", amount / worth)
}

/// The units' names for people: `ms, s, min, h, d`.
pub(super) fn names(units: &[Unit]) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The units as a pattern's alternatives: `(ms|s|min|h|d)`.
pub(super) fn alternatives(units: &[Unit]) -> String {
    format!("({})", units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_is_the_number_times_its_unit() {
        assert_eq!(measure("250ms", TIME), Ok(250));
        assert_eq!(measure("24h", TIME), Ok(86_400_000));
        assert_eq!(measure("4MiB", SIZE), Ok(4 << 20));
        assert_eq!(measure("", TIME), Err(Bad::Number));
        assert_eq!(measure("-1s", TIME), Err(Bad::Number));
        assert_eq!(measure("20", TIME), Err(Bad::NoUnit));
        assert_eq!(measure("20 s", TIME), Err(Bad::Unit));
        assert_eq!(measure("1h30min", TIME), Err(Bad::Unit));
        assert_eq!(measure("4MB", SIZE), Err(Bad::Unit));
        assert_eq!(measure("99999999999999999999s", TIME), Err(Bad::TooLarge));
        assert_eq!(measure("18446744073709551615TiB", SIZE), Err(Bad::TooLarge));
    }

    #[test]
    fn a_rate_is_a_number_over_a_time() {
        let per_minute = Rate::read("600000/min").unwrap().unwrap();
        assert_eq!((per_minute.cells.get(), per_minute.per), (600_000, Duration::from_secs(60)));
        assert_eq!(Rate::read("unlimited"), Ok(None));
        for bad in ["", "5", "0/s", "/s", "5/", "5/day", "-5/s", "5 /s", "4294967296/s", "Unlimited"] {
            assert!(Rate::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(amount in 0..u64::MAX / 2) {
            prop_assert_eq!(measure(&write(amount, TIME), TIME), Ok(amount));
            prop_assert_eq!(measure(&write(amount, SIZE), SIZE), Ok(amount));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (measure(&text, TIME), measure(&text, SIZE), Rate::read(&text));
        }
    }
}
