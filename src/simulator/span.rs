//! Durations as people write them, for the simulator's TOML: `"250ms"`, `"2s"`, `"1h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a duration.
pub(super) fn read<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    humantime::parse_duration(&text).map_err(|error| D::Error::custom(format_args!("`{text}` is no duration: {error}")))
}

/// Reads a duration that may be absent.
pub(super) fn read_optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    read(input).map(Some)
}
