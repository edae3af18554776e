//! The agent in a thread or a subprocess of a process tree, and the client that reaches it.
#![cfg(target_os = "linux")]
