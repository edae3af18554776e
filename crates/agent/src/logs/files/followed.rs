//! One file that is followed.

use super::super::{LogStream, Logs};
use super::has_room;
use crate::transport::file_identity;
use model::log::LogStatus;
use pipeline::logs::tail::{Decision, FINGERPRINT_MAX_BYTES, Fingerprint, Found, Position, decide};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Most that is read of one file before it is another's turn.
pub(super) const READ_MAX_BYTES: usize = 64 * 1024;
/// Most that is taken in before room is asked for again: lines of one byte grow hundredfold as logs.
const TAKE_MAX_BYTES: usize = 8 * 1024;

/// How files begin that hold no lines: gzip, zstd, bzip2, xz, which rotation leaves where patterns often reach, and
/// positions, which change with every line that is read, wherever they are kept.
const NO_LINES: [&[u8]; 5] = [
    &[0x1F, 0x8B],
    &[0x28, 0xB5, 0x2F, 0xFD],
    b"BZh",
    &[0xFD, b'7', b'z', b'X', b'Z'],
    b"lastlight-offsets ",
];

/// What a file is to us, whatever its name: device and number. Where the system tells none, it is its name, and a
/// file that is renamed while it is followed and made anew is not told from the one before.
pub(super) type Id = (u64, u64);

pub(super) fn id_of(metadata: &Metadata, path: &Path) -> Id {
    match file_identity(metadata) {
        (0, 0) => (0, Fingerprint::of(path.as_os_str().as_encoded_bytes()).hash),
        id => id,
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes were taken; there may be more.
    Read(usize),
    /// There is nothing new.
    Idle,
    /// There is something, and no room for it.
    Full,
    /// There are no lines in it, see [`NO_LINES`].
    NoLines,
}

/// A file that is followed. It is open all the time, so that it can be read to its end whatever becomes of its name.
#[derive(Debug)]
pub(super) struct Followed {
    /// Where it is, or was last.
    pub(super) path: PathBuf,
    /// The same, in the registry.
    pub(super) name: String,
    pub(super) id: Id,
    /// It is read when this one, which had its name before, was read to its end.
    pub(super) after: Option<Id>,
    /// Another file bears its name in the registry.
    pub(super) is_replaced: bool,
    /// When nothing that matches the pattern was this file any more, nanoseconds since 1970.
    pub(super) gone_ns: Option<i64>,
    /// When it grew last, nanoseconds since 1970.
    pub(super) grew_ns: i64,
    /// It was read to its end, or to where reading stops, when it was last looked at.
    pub(super) is_at_end: bool,
    /// Where reading stops.
    stop_at: u64,
    file: File,
    stream: Arc<LogStream>,
    /// Its first bytes.
    head: Vec<u8>,
    /// Where in it the stream begins.
    base: u64,
    /// Up to where it was given to the stream.
    offset: u64,
    /// When it was changed last, as of the last look.
    modified: Option<SystemTime>,
}

/// A file that was opened and looked at.
pub(super) struct Opened {
    file: File,
    pub(super) id: Id,
    pub(super) size: u64,
    pub(super) head: Vec<u8>,
}

impl Opened {
    /// `None` when it is no file.
    pub(super) fn new(path: &Path) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let head = head(&mut file)?;
        Ok(Some(Self { file, id: id_of(&metadata, path), size: metadata.len(), head }))
    }

    pub(super) fn found(&self) -> Found<'_> {
        Found { device: self.id.0, inode: self.id.1, size: self.size, head: &self.head }
    }
}

fn head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(FINGERPRINT_MAX_BYTES);
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(FINGERPRINT_MAX_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

impl Followed {
    pub(super) fn new(hub: &Arc<Logs>, opened: Opened, path: &Path, offset: u64, now_ns: i64) -> Self {
        Self {
            path: path.to_owned(),
            name: path.to_string_lossy().into_owned(),
            id: opened.id,
            after: None,
            is_replaced: false,
            gone_ns: None,
            grew_ns: now_ns,
            is_at_end: false,
            stop_at: u64::MAX,
            file: opened.file,
            stream: LogStream::new(hub, LogStatus::Info, &tags(path)),
            head: opened.head,
            base: offset,
            offset,
            modified: None,
        }
    }

    /// Where to read on after a restart.
    pub(super) fn position(&self) -> Position {
        Position {
            device: self.id.0,
            inode: self.id.1,
            fingerprint: Fingerprint::of(&self.head),
            offset: self.base + self.stream.settled(),
        }
    }

    /// Reads no further than what is there now.
    pub(super) fn stop_at_end(&mut self) {
        self.stop_at = self.file.metadata().map_or(0, |metadata| metadata.len());
        self.modified = None;
    }

    /// Reads a piece, if there is something new and room.
    ///
    /// # Errors
    /// What the system says; the file has to be opened again.
    pub(super) fn step(&mut self, hub: &Arc<Logs>, buffer: &mut [u8], now_ns: i64) -> io::Result<Step> {
        self.is_at_end = false;
        if !self.look(hub)? {
            self.is_at_end = true;
            return Ok(Step::Idle);
        }
        if !has_room(hub) {
            self.modified = None;
            return Ok(Step::Full);
        }
        let most = usize::try_from(self.stop_at - self.offset).unwrap_or(usize::MAX).min(buffer.len());
        self.file.seek(SeekFrom::Start(self.offset))?;
        let read = self.file.read(&mut buffer[..most])?;
        let bytes = &buffer[..read];
        if self.offset == 0 && NO_LINES.iter().any(|magic| bytes.starts_with(magic)) {
            return Ok(Step::NoLines);
        }
        let mut taken = 0;
        for piece in bytes.chunks(TAKE_MAX_BYTES) {
            if !has_room(hub) {
                break;
            }
            self.take(piece);
            taken += piece.len();
        }
        if taken < read {
            // There is more, whenever the file was changed.
            self.modified = None;
        }
        if taken > 0 {
            self.grew_ns = now_ns;
        }
        Ok(if read == 0 { Step::Idle } else { Step::Read(taken) })
    }

    /// Whether there is something to read. A file that was written anew is then read from its beginning.
    fn look(&mut self, hub: &Arc<Logs>) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let (size, modified) = (metadata.len(), metadata.modified().ok());
        if size == self.offset && modified.is_some() && modified == self.modified {
            return Ok(false);
        }
        let head = head(&mut self.file)?;
        let now = Found { device: self.id.0, inode: self.id.1, size, head: &head };
        let known = Position::of(&Found { head: &self.head, ..now }, self.offset);
        let decision = decide(Some(&known), &now);
        self.modified = modified;
        match decision {
            Decision::Nothing => return Ok(false),
            // It is open, so that it is no other file.
            Decision::ReadFrom(_) | Decision::Rotated => {}
            Decision::Truncated => {
                self.stream.finish();
                self.stream = LogStream::new(hub, LogStatus::Info, &tags(&self.path));
                self.head.clear();
                (self.base, self.offset) = (0, 0);
                if self.stop_at < u64::MAX {
                    self.stop_at = size;
                }
            }
        }
        Ok(size.min(self.stop_at) > self.offset)
    }

    fn take(&mut self, mut piece: &[u8]) {
        let known = self.head.len();
        if known < FINGERPRINT_MAX_BYTES && self.offset <= known as u64 {
            let new = piece.get(known - self.offset as usize..).unwrap_or_default();
            self.head.extend_from_slice(&new[..new.len().min(FINGERPRINT_MAX_BYTES - known)]);
        }
        self.offset += piece.len() as u64;
        if self.offset - piece.len() as u64 == self.base {
            // Whoever writes on behind the end of a truncated file leaves a hole before.
            let hole = piece.iter().take_while(|byte| **byte == 0).count();
            self.base += hole as u64;
            piece = &piece[hole..];
        }
        if !piece.is_empty() {
            self.stream.take(piece);
        }
    }

    /// The file is not followed any more: a last line without newline is a log (losses.md L89), unless more of it
    /// stands there, which somebody will read.
    pub(super) fn finish(&self) {
        let has_more = || self.file.metadata().is_ok_and(|metadata| metadata.len() > self.offset);
        if self.is_at_end && !has_more() { self.stream.finish() } else { self.stream.finish_at_line() }
    }

    /// It will be read on from [`Self::position`] as it is now.
    pub(super) fn suspend(&self) {
        self.stream.finish_at_line();
    }
}

/// The tags of what a file says, as the reference has them: its name and its folder.
fn tags(path: &Path) -> String {
    let of = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().replace(',', "_");
    format!("filename:{},dirname:{}", of(path.file_name()), of(path.parent().map(Path::as_os_str)))
}
