//! W3C trace context, as far as it is passed on: the job's `traceparent` names the trace in logs, outcomes and exemplars.

/// The trace's id, 32 hexadecimal digits, of a `traceparent` that was
/// [found good](crate::job::is_traceparent) (W3C Trace Context, section 3.2).
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.get(3..35)
}

/// Whether the caller records the trace (section 3.2.3, `sampled`).
#[must_use]
pub fn is_sampled(traceparent: &str) -> bool {
    let flags = traceparent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & 1 == 1)
}

/// The trace's id, if its caller records it: only then it is worth a look.
pub(super) fn sampled_id(traceparent: &str) -> Option<&str> {
    trace_id(traceparent).filter(|_| is_sampled(traceparent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_recorded_trace_is_an_exemplar() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = |flags: &str| format!("00-{id}-00f067aa0ba902b7-{flags}");
        assert_eq!(trace_id(&parent("00")), Some(id));
        assert_eq!(sampled_id(&parent("01")), Some(id));
        assert_eq!(sampled_id(&parent("00")), None);
        assert_eq!(sampled_id("00"), None);
    }
}
