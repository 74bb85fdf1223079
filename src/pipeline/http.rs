//! `[http]`.

use std::net::SocketAddr;

use secrecy::SecretString;

use crate::flow::Rate;

/// Where the operator's door listens, and who may enter.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address; one that is not loopback needs `tokens`. Port 0: any free one.
    pub listen: SocketAddr,
    /// Bearer tokens; empty: no token is asked for.
    pub tokens: Vec<SecretString>,
    /// Requests for `/v1/jobs` of one token, or of one address where there are none; `None`: any number.
    pub rate: Option<Rate>,
}
