//! FCM and its token endpoint: what Google would answer.
