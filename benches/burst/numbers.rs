//! Conversions between counts and shares, in one place with their reason.

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// The whole part.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a bench are far below 2^52")]
pub fn count(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// With thousands set apart.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
