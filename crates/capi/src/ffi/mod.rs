//! The exported functions, the types they speak in, and what keeps both sides from each other's mistakes.
#![expect(unsafe_code, reason = "C callers: pointers come in, symbols go out")]
#![allow(
    clippy::missing_safety_doc,
    reason = "what a caller has to keep is the header's text, which these comments become"
)]

mod boundary;
mod given;
mod handle;
#[cfg(not(test))]
mod memory;
mod randomness;
mod spans;
pub mod types;
mod words;

pub use handle::*;
pub(crate) use randomness::random;
pub use spans::*;
pub use words::*;
