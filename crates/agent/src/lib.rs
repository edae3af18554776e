//! The daemon as a library: sockets, timers, the HTTP client, configuration, platforms, and all of it put
//! together.
//!
//! [`bind`] takes the sockets, [`Bound::start`] starts the stages, [`Running::stop`] unwinds them;
//! [`daemon::run`] does it for a whole process.

mod aside;
pub mod check;
mod clock;
mod compose;
pub mod config;
#[cfg(feature = "signals")]
pub mod daemon;
mod dogstatsd;
pub mod embedded;
mod enhanced;
mod flush;
pub mod forward;
mod intake;
mod linger;
pub mod local;
pub mod logging;
mod logs;
mod microvm;
mod packing;
pub mod platform;
mod report;
pub mod room;
mod settings;
mod shipping;
pub mod transport;

pub use aside::stay_on_this_thread;
pub use compose::{Bound, Running, SharedStrings, StartError, bind};
pub use http::{HeaderMap, HeaderName, HeaderValue, Uri};
pub use lifecycle::{Deadline, Instant};
pub use logs::ProgramOutput;
pub use report::Report;
