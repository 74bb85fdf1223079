//! Frame round trips.
