//! `liblastlight`: the sidecar and the tracer behind a C ABI. Linux only so far.
//!
//! What a caller sees is `include/lastlight.h`, which `cargo xtask header` writes from [`ffi`]; the rules common to all
//! functions stand at its head. Facts: sidecar.md §11, losses.md J and K.
//!
//! Unsafe code stands in `ffi` alone: reading what a pointer points to (`ffi/given.rs`), the exported functions, and the
//! allocator that does not let a host die for want of memory (`ffi/memory.rs`).
#![cfg(target_os = "linux")]

pub mod ffi;
mod recording;
mod settings;
