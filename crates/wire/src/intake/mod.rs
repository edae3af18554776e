//! What the backend's intake takes.

mod agent_payload;
pub mod checks;
pub mod events;
mod json;
mod metadata;
pub mod series;
pub mod sketches;
pub mod traces;
