//! Metrics and logs: every name an operator sees, in one place.
