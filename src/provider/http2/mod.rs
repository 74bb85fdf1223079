//! Connections, streams, GOAWAY, and what was surely not sent.
