//! What the backend's intake takes.

mod agent_payload;
pub mod checks;
pub(crate) mod escape;
pub mod events;
pub(crate) mod json;
pub mod logs;
mod metadata;
pub mod series;
pub mod sketches;
pub mod traces;
