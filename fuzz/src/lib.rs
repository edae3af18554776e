//! One function per decoder; each panics when what must hold of it does not. They are shared with
//! `crates/wire/tests/hostile.rs`, which replays the seeds and mutations of them in every `cargo test`.

#[path = "../../crates/wire/tests/support/targets.rs"]
mod targets;

pub use targets::*;
