//! What integration tests share.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod world;
