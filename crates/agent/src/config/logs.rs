//! How logs reach us and what happens to them.

use super::Compression;
use pipeline::config::LogRule;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How logs reach us and what happens to them.
#[derive(Clone, Debug)]
pub struct Logs {
    /// Logs are taken at all.
    pub enabled: bool,
    /// Logs go to an Observability Pipelines worker and nowhere else.
    pub to_worker: bool,
    /// Where `POST /v1/input` listens; `None`: nowhere.
    pub input: Option<SocketAddr>,
    /// Files to follow, as a pattern.
    pub files: Option<FilePattern>,
    /// `ddsource` of everything that says none, in lower case.
    pub source: String,
    /// What is left out, kept, masked.
    pub rules: Vec<LogRule>,
    /// Lines of one stack trace are one log.
    pub auto_multi_line: bool,
    /// Longest time a log waits for its batch.
    pub batch_wait: Duration,
    /// How payloads are packed.
    pub compression: Compression,
}

/// Files to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    /// A path in which `*`, `?` and `[a-z]` stand for characters of one name.
    pub pattern: String,
    /// Where the positions in them are kept over a restart; `None`: beside them.
    pub positions: Option<PathBuf>,
}
