//! One function per decoder; each panics when what must hold of it does not. They are shared with
//! `crates/wire/tests/hostile.rs`, `crates/channel/tests/seeds.rs` and `crates/tracer/tests/context.rs`, which
//! replay the seeds and mutations of them in every `cargo test`.

#[path = "../../crates/wire/tests/support/targets.rs"]
mod targets;

#[path = "../../crates/channel/tests/support/targets.rs"]
mod sidecar;

#[path = "../../crates/tracer/tests/support/targets.rs"]
mod tracer;

pub use sidecar::*;
pub use targets::*;
pub use tracer::*;
