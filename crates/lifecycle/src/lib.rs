//! Start downstream first, stop upstream first, in time.
//!
//! Stages are pushed downstream first, so that whoever a stage sends to is already running, and
//! unwound upstream first, so that whoever a stage receives from has already finished. One deadline is
//! shared by the whole stop: what a stage does not use passes down, and a stuck stage cannot spend the
//! time of those below it. This crate knows no telemetry.
//!
//! Ending a stage has three steps, each with a bound:
//!
//! 1. *close*: take in nothing more, finish what you hold, return ([`Close::requested`]);
//! 2. *abandon*, when the stage's share of the time is spent: let go of what you hold, settle it, and
//!    return ([`Close::abandoned`]);
//! 3. *abort*, [`ABANDON_GRACE`] later: the task is cancelled, and awaited for [`ABORT_GRACE`] so that
//!    what it held is settled when [`Stack::unwind`] returns.

mod deadline;
mod rt;
mod stack;

pub use deadline::Deadline;
pub use rt::Instant;
pub use stack::{ABANDON_GRACE, ABORT_GRACE, Close, End, Stack, StageEnd};
