//! The system's calls, and all of this crate that knows which system it is.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod pty;
#[cfg(target_os = "linux")]
mod pump;
#[cfg(target_os = "linux")]
mod relay;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
pub(crate) use linux::{Blocked, Host, block, die_by, spawn};
#[cfg(target_os = "linux")]
pub(crate) use pump::Wake;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{Blocked, Host, Wake, block, die_by, spawn};

use crate::supervise::Event;

/// What happened to one of our children.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// To the child.
    Child(Event),
    /// A process that had lost its parent ended.
    OrphanReaped,
    /// A process that had lost its parent stopped or went on.
    OrphanOther,
    /// There are no children at all.
    NoChildren,
}
