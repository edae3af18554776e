//! What the backend's intake takes.

mod agent_payload;
pub mod traces;
