//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::job::UnixMillis;

/// The longest wait that is believed: a day. More is a provider's mistake, and would outlast nearly every push.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How long the answer asks us to wait, from `now`; `None` if it doesn't, or can't be read.
pub(super) fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if text.is_empty() => return None,
        // More digits than fit are a long time, too.
        true => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        false => UnixMillis(seconds_of(text)?.checked_mul(1000)?).since(now),
    };
    Some(wait.min(LONGEST))
}

/// Seconds since 1970 of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`, the form that senders must generate
/// (RFC 9110, section 5.6.7).
fn seconds_of(date: &str) -> Option<u64> {
    let (_weekday, rest) = date.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = number(parts.next()?, 2)?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year = number(parts.next()?, 4)?;
    let mut clock = parts.next()?.split(':');
    let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let well_formed = parts.next() == Some("GMT") && parts.next().is_none() && clock.next().is_none();
    let in_range = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60 && year >= 1970;
    (well_formed && in_range).then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`: years begin in March, so that the
/// leap day is the last of its year, in eras of 400 years and 146,097 days.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, now: u64) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, UnixMillis(now)).map(|wait| wait.as_secs())
    }

    /// 1994-11-06T08:49:37Z, RFC 9110's own example.
    const EXAMPLE: u64 = 784_111_777_000;

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(read("120", 0), Some(120));
        assert_eq!(read(" 7 ", 0), Some(7));
        assert_eq!(read("0", 0), Some(0));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE - 30_000), Some(30));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE + 30_000), Some(0), "a date that is past");
        assert_eq!(read("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_799_000), Some(1), "a leap day");
        assert_eq!(read("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_199_000), Some(1), "the day after it");
    }

    /// Against the other implementation at hand, which writes our own times.
    #[test]
    fn every_day_of_two_centuries() {
        for day in 0..73_000 {
            let seconds = day * 86_400 + 3_661;
            let written = UnixMillis(seconds * 1000).to_string();
            let (year, month, day) = (&written[..4], &written[5..7], &written[8..10]);
            let month = MONTHS[month.parse::<usize>().unwrap() - 1];
            assert_eq!(seconds_of(&format!("Any, {day} {month} {year} 01:01:01 GMT")), Some(seconds), "{written}");
        }
    }

    #[test]
    fn absurd_waits_are_cut_to_a_day() {
        assert_eq!(read("999999999999999999999999", 0), Some(86_400));
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT", EXAMPLE), Some(86_400));
    }

    #[test]
    fn what_is_neither_is_ignored() {
        for value in [
            "",
            "-1",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(read(value, 0), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), UnixMillis(0)), None);
    }
}
