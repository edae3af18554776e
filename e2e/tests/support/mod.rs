//! Programs under `lastlight run`, started as a container starts them.

pub(crate) mod run;
