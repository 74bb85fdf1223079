//! Flow control: small pure machines with one idiom, `now` in, a grant out.

mod rate;

pub use rate::Rate;
