//! What a wrapped program writes.

use super::{LogStream, Logs};
use model::log::LogStatus;
use std::sync::Arc;

/// What a wrapped program writes to its standard output and standard error.
#[derive(Clone, Debug)]
pub struct ProgramOutput {
    stdout: Arc<LogStream>,
    stderr: Arc<LogStream>,
}

impl ProgramOutput {
    pub(crate) fn new(logs: &Arc<Logs>) -> Self {
        Self {
            stdout: LogStream::new(logs, LogStatus::Info, ""),
            stderr: LogStream::new(logs, LogStatus::Error, ""),
        }
    }

    /// Bytes of standard output, in order. Never waits.
    pub fn stdout(&self, bytes: &[u8]) {
        self.stdout.take(bytes);
    }

    /// Bytes of standard error, in order. Never waits.
    pub fn stderr(&self, bytes: &[u8]) {
        self.stderr.take(bytes);
    }

    /// The program has ended: an unterminated last line is a log too (losses.md L89).
    pub fn finish(&self) {
        self.stdout.finish();
        self.stderr.finish();
    }
}
