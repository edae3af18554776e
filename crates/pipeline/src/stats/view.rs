//! The key of the payload statistics are sent in.

use super::key::{Fixed, KeyBuffer, read_texts};
use super::{BLOCKED, process_tags_hash};
use model::stats::ClientStats;

/// What all spans of a chunk share: the key of the payload their statistics are sent in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View<'v> {
    /// Environment; never empty.
    pub env: &'v str,
    /// Host.
    pub hostname: &'v str,
    /// Version of the traced program.
    pub version: &'v str,
    /// Container of the traced program.
    pub container_id: &'v str,
    /// Commit of the traced program.
    pub git_commit_sha: &'v str,
    /// Image of the container.
    pub image_tag: &'v str,
    /// Language of the tracer.
    pub lang: &'v str,
    /// Main service of the process.
    pub service: &'v str,
    /// Comma-separated tags of the process.
    pub process_tags: &'v str,
}

/// Fills the buffer with the key of a view.
pub(super) fn write_view(key: &mut KeyBuffer, view: &View<'_>) {
    key.start(
        Fixed::default(),
        [
            view.env,
            view.hostname,
            view.version,
            view.container_id,
            view.git_commit_sha,
            view.image_tag,
            view.lang,
            view.service,
            view.process_tags,
            "",
        ],
    );
}

/// The view of a key, without buckets.
pub(super) fn read_view(key: &[u8]) -> ClientStats {
    let [env, hostname, version, container_id, git_commit_sha, image_tag, lang, service, process_tags, _] =
        read_texts(key);
    ClientStats {
        process_tags_hash: process_tags_hash(&process_tags),
        env,
        hostname,
        version,
        container_id,
        git_commit_sha,
        image_tag,
        lang,
        service,
        process_tags,
        ..ClientStats::default()
    }
}

/// The view of all views there is no room for.
pub(super) fn shared_view() -> Vec<u8> {
    let mut key = KeyBuffer::default();
    write_view(&mut key, &View { env: BLOCKED, version: BLOCKED, service: BLOCKED, ..View::default() });
    key.bytes().to_vec()
}
