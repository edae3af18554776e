//! The daemon as a library: sockets, timers, the HTTP client, configuration, platforms.

pub mod check;
pub mod config;
pub mod forward;
pub mod logging;
pub mod platform;
pub mod room;
