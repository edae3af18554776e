//! What was taken from the caller and has no answer yet.

use crate::frame::{Carried, Headers, INLINE_MAX_BYTES, Message, mark_resent};
use crate::memory_file::write_sealed;
use crate::socket;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Connections that may end over one submission before it is given up: it may be what ends servers.
const ENDS_MAX_COUNT: u8 = 5;

/// Submissions in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    files: usize,
    sent: usize,
    /// When the last answer came, or the first of what is unanswered was sent.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Item {
    id: u64,
    /// The datagram; of a payload in parts, its headers alone.
    message: Vec<u8>,
    body: Body,
    progress: Progress,
    /// A connection ended after it was sent.
    is_resent: bool,
    /// Connections that ended without an answer to it.
    ends: u8,
}

#[derive(Debug)]
enum Body {
    Inline,
    /// Sealed, so it can be sent any number of times.
    File {
        file: OwnedFd,
        bytes: usize,
    },
    Parts {
        kind: u16,
        payload: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Waiting,
    /// Parts up to here are sent.
    Partly(usize),
    Sent,
}

/// How sending went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sending {
    /// All that may be sent is.
    Done,
    /// The socket has no room now.
    Full,
    /// The connection has ended.
    Ended,
}

/// A submission that was prepared to be queued.
#[derive(Debug)]
pub(super) struct Prepared {
    message: Vec<u8>,
    body: Body,
    pub(super) is_in_parts: bool,
    /// The system has no memory files for us, and will not have any.
    pub(super) are_files_refused: bool,
}

/// How a submission may travel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    /// Longest datagram that goes through the socket beside others, bytes.
    pub(super) inline_datagram_max_bytes: usize,
    /// Longest datagram that goes through the socket at all, bytes.
    pub(super) datagram_max_bytes: usize,
    /// Whether memory files are made.
    pub(super) files: bool,
}

impl Prepared {
    /// Copies the payload, into the datagram or into a memory file.
    pub(super) fn new(id: u64, kind: u16, headers: Headers<'_>, payload: &[u8], ways: Ways) -> Self {
        let submit = |payload| Message::Submit { id, kind, resent: false, headers, payload };
        let mut message = Vec::new();
        if payload.len() <= INLINE_MAX_BYTES {
            let bytes = crate::frame::HEADER_BYTES + headers.encoded().len() + payload.len();
            // Without a payload there is nothing to travel apart.
            if bytes <= ways.inline_datagram_max_bytes || payload.is_empty() {
                message.reserve_exact(bytes);
                submit(Carried::Inline(payload)).encode(&mut message);
                return Self { message, body: Body::Inline, is_in_parts: false, are_files_refused: false };
            }
        }
        let mut are_files_refused = false;
        if ways.files {
            match write_sealed(payload) {
                Ok(file) => {
                    submit(Carried::Descriptor { bytes: payload.len() as u64 }).encode(&mut message);
                    let body = Body::File { file, bytes: payload.len() };
                    return Self { message, body, is_in_parts: false, are_files_refused };
                }
                // The others pass: no descriptors or no memory.
                Err(error) => {
                    are_files_refused =
                        matches!(error, Errno::PERM | Errno::NOSYS | Errno::ACCESS | Errno::INVAL);
                }
            }
        }
        message.extend_from_slice(headers.encoded());
        let body = Body::Parts { kind, payload: payload.to_vec() };
        Self { message, body, is_in_parts: true, are_files_refused }
    }

    fn bytes(&self) -> usize {
        bytes(&self.message, &self.body)
    }
}

fn bytes(message: &[u8], body: &Body) -> usize {
    message.len()
        + match body {
            Body::Inline => 0,
            Body::File { bytes, .. } => *bytes,
            Body::Parts { payload, .. } => payload.len(),
        }
}

impl Queue {
    /// Submissions.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Of them, those that were sent and have no answer.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Whether there is something to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.items.len()
    }

    /// Bytes held, of memory and memory files.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory files held.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// Since when the server owes an answer.
    pub(super) fn owed_since(&self) -> Option<Instant> {
        self.since.filter(|_| self.sent > 0)
    }

    pub(super) fn push(&mut self, id: u64, prepared: Prepared) {
        self.bytes += prepared.bytes();
        self.files += usize::from(matches!(prepared.body, Body::File { .. }));
        let Prepared { message, body, .. } = prepared;
        self.items.push_back(Item {
            id,
            message,
            body,
            progress: Progress::Waiting,
            is_resent: false,
            ends: 0,
        });
    }

    /// Forgets what was answered for good. False when it is not known: answered before.
    pub(super) fn settle(&mut self, id: u64, now: Instant) -> bool {
        let Some(index) = self.items.iter().position(|item| item.id == id) else { return false };
        self.remove(index);
        self.since = Some(now);
        true
    }

    fn remove(&mut self, index: usize) {
        if let Some(item) = self.items.remove(index) {
            self.bytes -= bytes(&item.message, &item.body);
            self.files -= usize::from(matches!(item.body, Body::File { .. }));
            self.sent -= usize::from(item.progress == Progress::Sent);
        }
    }

    /// It is to be sent again later, as the server had no room for it. False when it is not known.
    pub(super) fn put_back(&mut self, id: u64, now: Instant) -> bool {
        let Some(item) = self.items.iter_mut().find(|item| item.id == id) else { return false };
        self.sent -= usize::from(item.progress == Progress::Sent);
        item.progress = Progress::Waiting;
        // The server lived through it.
        item.ends = 0;
        self.since = Some(now);
        true
    }

    /// The connection ended; what has no answer is sent again over the next. `is_orderly` when the server said that it
    /// stops. Gives how many will be sent again, and how many are given up.
    pub(super) fn connection_ended(&mut self, is_orderly: bool) -> (u64, u64) {
        let (mut again, mut lost) = (0, 0);
        for index in (0..self.items.len()).rev() {
            let item = &mut self.items[index];
            match item.progress {
                Progress::Waiting => continue,
                Progress::Partly(_) => {}
                Progress::Sent => self.sent -= 1,
            }
            item.progress = Progress::Waiting;
            item.ends += u8::from(!is_orderly);
            if item.ends > ENDS_MAX_COUNT {
                self.remove(index);
                lost += 1;
            } else {
                again += 1;
                item.is_resent = true;
                if !matches!(item.body, Body::Parts { .. }) {
                    mark_resent(&mut item.message);
                }
            }
        }
        self.since = None;
        (again, lost)
    }

    /// Sends what may be sent.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, ways: Ways, now: Instant) -> Sending {
        if !self.has_unsent() {
            return Sending::Done;
        }
        for item in &mut self.items {
            if item.progress == Progress::Sent {
                // What was there when two connections ended goes alone, to be told from its neighbours.
                if item.ends > 1 {
                    return Sending::Done;
                }
                continue;
            }
            if item.ends > 1 && self.sent > 0 {
                return Sending::Done;
            }
            let is_first = self.sent == 0;
            match item.send(socket, ways) {
                Ok(true) => {
                    self.sent += 1;
                    if is_first {
                        self.since = Some(now);
                    }
                }
                Ok(false) => return Sending::Full,
                Err(_) => return Sending::Ended,
            }
        }
        Sending::Done
    }
}

impl Item {
    /// Whether all of it is sent.
    fn send(&mut self, socket: BorrowedFd<'_>, ways: Ways) -> Result<bool, Errno> {
        let is_sent = match &self.body {
            Body::Inline => socket::send(socket, &self.message, None)?,
            Body::File { file, .. } => socket::send(socket, &self.message, Some(file.as_fd()))?,
            Body::Parts { .. } => return self.send_parts(socket, ways),
        };
        if is_sent {
            self.progress = Progress::Sent;
        }
        Ok(is_sent)
    }

    fn send_parts(&mut self, socket: BorrowedFd<'_>, ways: Ways) -> Result<bool, Errno> {
        let Body::Parts { kind, payload } = &self.body else { return Ok(false) };
        let mut offset = match self.progress {
            Progress::Partly(offset) => offset,
            _ => 0,
        };
        let mut datagram = Vec::new();
        while offset < payload.len() {
            let headers = if offset == 0 { &self.message[..] } else { &[] };
            let room = ways.datagram_max_bytes.saturating_sub(crate::frame::HEADER_BYTES + headers.len());
            let end = payload.len().min(offset + room.clamp(1, INLINE_MAX_BYTES));
            let total = payload.len() as u64;
            datagram.clear();
            Message::Submit {
                id: self.id,
                kind: *kind,
                resent: self.is_resent,
                headers: crate::frame::headers(headers).unwrap_or_default(),
                payload: Carried::Part { total, offset: offset as u64, part: &payload[offset..end] },
            }
            .encode(&mut datagram);
            if !socket::send(socket, &datagram, None)? {
                return Ok(false);
            }
            offset = end;
            self.progress = Progress::Partly(offset);
        }
        self.progress = Progress::Sent;
        Ok(true)
    }
}
