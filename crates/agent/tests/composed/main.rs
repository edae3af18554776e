//! The agent put together, in this process: real sockets in front, a scripted backend behind, the books between.

mod backend;
mod input;
mod instance;
mod metrics;
mod microvm;
mod panics;
mod processing;
mod proxied;
mod routes;
mod sizes;
mod sockets;
mod status;
mod stop;
mod support;
