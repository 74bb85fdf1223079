//! Provider simulators: APNs and FCM as servers, with faults.
