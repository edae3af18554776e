//! How the platform of a MicroVM says what happens to it (`facts/platforms.md` §9).

use std::net::SocketAddr;
use std::time::Duration;

/// How the platform of a MicroVM says what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroVm {
    /// Where we listen: the first of these that the system has. Port 0, which only code can say, lets it choose.
    pub listen: Vec<SocketAddr>,
    /// Port, on 127.0.0.1, of a wrapped program that hears of it too.
    pub app_port: Option<u16>,
    /// Bound of its answer, but for the two below.
    pub forward_timeout: Duration,
    /// Bound of its answer to whether it is ready, with the time it takes to listen.
    pub ready_timeout: Duration,
    /// The same after a snapshot was restored.
    pub validate_timeout: Duration,
}
