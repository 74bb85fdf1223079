//! How a rate is written: `"600000/min"`, and `"unlimited"` for none.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Rate;

impl Rate {
    /// What a rate may be counted over: the unit's name, and how many milliseconds it has.
    pub const PER: &'static [(&'static str, u64)] = &[("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

    /// Reads `"600000/min"`; `"unlimited"` is `None`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Option<Self>, &'static str> {
        if text == "unlimited" {
            return Ok(None);
        }
        let (number, unit) = text.split_once('/').ok_or("a rate needs a number, a slash and a unit of time")?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("a rate starts with a whole number");
        }
        let per = Self::PER.iter().find(|(name, _)| *name == unit);
        let (_, millis) = per.ok_or("not a unit of time that a rate can have")?;
        let number: u32 = number.parse().map_err(|_| "more than 4294967295 at a time can't be counted")?;
        let cells = NonZeroU32::new(number).ok_or("a rate of nothing would let no push pass, ever")?;
        Ok(Some(Self { cells, per: Duration::from_millis(*millis) }))
    }

    /// Writes a rate as it is read.
    #[must_use]
    pub fn write(rate: Option<Self>) -> String {
        let Some(rate) = rate else { return "unlimited".to_owned() };
        let millis = rate.per.as_millis();
        match Self::PER.iter().find(|(_, worth)| u128::from(*worth) == millis) {
            Some((name, _)) => format!("{}/{name}", rate.cells),
            None => format!("{}/{millis}ms", rate.cells),
        }
    }
}
