//! Logs as programs write them: JSON lines, and the bodies of `/v1/input`.

mod input;
mod lift;
mod scan;
mod status;
mod time;

pub use input::{Defaults, Entry, EntryError, input};
pub use lift::{Lifted, lift};
