//! APNs: what Apple would answer.
