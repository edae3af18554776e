//! What was taken from the caller and has no answer yet, and copies of what was accepted and has not settled.

use crate::descriptor::Descriptor;
use crate::frame::{Carried, Headers, INLINE_MAX_BYTES, Message, mark_resent};
use crate::memory_file::{read_sealed, write_sealed};
use crate::socket;
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// Connections that may end over one submission, and servers that may die while they have it, before it is given up: it may
/// be what ends servers.
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
    /// Copies of what was accepted, by their ids.
    retained: BTreeMap<u64, Item>,
    retained_bytes: usize,
    /// Copies since the last [`Queue::trim`], which is done after the answers of each datagram.
    kept: Vec<u64>,
    retained_files: usize,
}

#[derive(Debug)]
struct Item {
    id: u64,
    /// The datagram; of a payload in parts, its headers alone.
    message: Vec<u8>,
    body: Body,
    progress: Progress,
    /// A connection ended after it was sent, or a server that had accepted it died.
    is_resent: bool,
    /// How often.
    ends: u8,
}

#[derive(Debug)]
enum Body {
    Inline,
    /// Sealed, so it can be sent any number of times.
    File {
        file: Descriptor,
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
                    let body = Body::File { file: Descriptor::new(file), bytes: payload.len() };
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

    /// Memory files held, copies too.
    pub(super) fn files(&self) -> usize {
        self.files + self.retained_files
    }

    /// Copies of what was accepted.
    pub(super) fn retained(&self) -> usize {
        self.retained.len()
    }

    /// Since when the server owes an answer.
    pub(super) fn owed_since(&self) -> Option<Instant> {
        self.since.filter(|_| self.sent > 0)
    }

    pub(super) fn push(&mut self, id: u64, prepared: Prepared) {
        self.bytes += prepared.bytes();
        self.files += usize::from(matches!(prepared.body, Body::File { .. }));
        let Prepared { message, body, .. } = prepared;
        let progress = Progress::Waiting;
        self.items.push_back(Item { id, message, body, progress, is_resent: false, ends: 0 });
    }

    /// Forgets what was answered for good. False when it is not known: answered before.
    pub(super) fn settle(&mut self, id: u64, now: Instant) -> bool {
        self.answered(id, now).is_some()
    }

    /// Keeps a copy of what was accepted. False when it is not known: answered before.
    pub(super) fn retain(&mut self, id: u64, now: Instant) -> bool {
        let Some(item) = self.answered(id, now) else { return false };
        self.retained_bytes += item.bytes();
        self.retained_files += item.files();
        self.retained.insert(id, item);
        self.kept.push(id);
        true
    }

    fn answered(&mut self, id: u64, now: Instant) -> Option<Item> {
        let index = self.items.iter().position(|item| item.id == id)?;
        self.since = Some(now);
        self.remove(index)
    }

    fn remove(&mut self, index: usize) -> Option<Item> {
        let item = self.items.remove(index)?;
        self.bytes -= item.bytes();
        self.files -= item.files();
        self.sent -= usize::from(item.progress == Progress::Sent);
        Some(item)
    }

    /// Forgets copies of what has settled: all with ids below the first number, and of the range.
    pub(super) fn forget(&mut self, below: u64, range: RangeInclusive<u64>) {
        while let Some(first) = self.retained.first_key_value().map(|(id, _)| *id).filter(|id| *id < below) {
            self.forget_one(first);
        }
        if range.is_empty() {
            return;
        }
        while let Some((id, _)) = self.retained.range(range.clone()).next() {
            let id = *id;
            self.forget_one(id);
        }
    }

    fn forget_one(&mut self, id: u64) -> Option<Item> {
        let item = self.retained.remove(&id)?;
        self.retained_bytes -= item.bytes();
        self.retained_files -= item.files();
        Some(item)
    }

    /// Forgets every copy.
    pub(super) fn forget_all(&mut self) {
        self.retained.clear();
        (self.retained_bytes, self.retained_files) = (0, 0);
    }

    /// Keeps copies within a bound: what is bigger than it is not kept at all, and then the oldest go. Gives how many.
    pub(super) fn trim(&mut self, max_bytes: usize) -> u64 {
        let mut count = 0;
        // What is too big is among what was kept since the last time: this is done at each answer.
        let mut kept = std::mem::take(&mut self.kept);
        if self.retained_bytes > max_bytes {
            for id in &kept {
                if self.retained.get(id).is_some_and(|its| its.bytes() > max_bytes) {
                    self.forget_one(*id);
                    count += 1;
                }
            }
        }
        kept.clear();
        self.kept = kept;
        while self.retained_bytes > max_bytes
            && let Some(oldest) = self.retained.first_key_value().map(|(id, _)| *id)
        {
            self.forget_one(oldest);
            count += 1;
        }
        count
    }

    /// Reads the oldest copy that is a memory file into memory, so that its descriptor is free for what is new. Gives how many
    /// copies had to go for it, as they could not be read.
    pub(super) fn free_file(&mut self) -> u64 {
        let Some((id, item)) = self.retained.iter_mut().find(|(_, item)| item.files() > 0) else { return 0 };
        let before = item.bytes();
        if item.read_file().is_none() {
            let id = *id;
            self.forget_one(id);
            return 1;
        }
        self.retained_bytes = self.retained_bytes - before + item.bytes();
        self.retained_files -= 1;
        0
    }

    /// The server that had accepted them is gone: all copies are to be sent again, before what is newer. Gives how many will
    /// be, and how many are given up.
    pub(super) fn take_back(&mut self) -> (u64, u64) {
        let (mut again, mut lost) = (0, 0);
        while let Some((_, mut item)) = self.retained.pop_last() {
            if !item.goes_again(false) {
                lost += 1;
                continue;
            }
            again += 1;
            item.progress = Progress::Waiting;
            self.bytes += item.bytes();
            self.files += item.files();
            self.items.push_front(item);
        }
        self.forget_all();
        (again, lost)
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
            if item.goes_again(is_orderly) {
                again += 1;
            } else {
                self.remove(index);
                lost += 1;
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
    /// Bytes held, of memory and a memory file.
    fn bytes(&self) -> usize {
        bytes(&self.message, &self.body)
    }

    /// Memory files held.
    fn files(&self) -> usize {
        usize::from(matches!(self.body, Body::File { .. }))
    }

    /// It is to be sent once more. False when that was tried often enough.
    fn goes_again(&mut self, is_orderly: bool) -> bool {
        self.ends += u8::from(!is_orderly);
        if self.ends > ENDS_MAX_COUNT {
            return false;
        }
        self.is_resent = true;
        if !matches!(self.body, Body::Parts { .. }) {
            mark_resent(&mut self.message);
        }
        true
    }

    /// Turns a memory file into bytes in memory.
    fn read_file(&mut self) -> Option<()> {
        let Body::File { file, bytes } = &self.body else { return None };
        let payload = read_sealed(file.get()?, *bytes as u64).ok()?;
        let Ok(Message::Submit { kind, headers, .. }) = Message::decode(&self.message) else { return None };
        let headers = headers.encoded().to_vec();
        (self.message, self.body) = (headers, Body::Parts { kind, payload });
        Some(())
    }

    /// Whether all of it is sent.
    fn send(&mut self, socket: BorrowedFd<'_>, ways: Ways) -> Result<bool, Errno> {
        let is_sent = match &self.body {
            Body::Inline => socket::send(socket, &self.message, None)?,
            Body::File { file, .. } => {
                // Without it there is nothing to send, which the server answers for.
                socket::send(socket, &self.message, file.get())?
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{encode_headers, headers};

    const WAYS: Ways = Ways { inline_datagram_max_bytes: 1000, datagram_max_bytes: 100_000, files: true };

    fn queue(lengths: &[usize]) -> Queue {
        let mut queue = Queue::default();
        let encoded = encode_headers(&[(b"key", b"value")]);
        for (id, length) in (1..).zip(lengths) {
            let prepared = Prepared::new(id, 7, headers(&encoded).unwrap(), &vec![3; *length], WAYS);
            queue.push(id, prepared);
        }
        queue
    }

    fn ids(queue: &Queue) -> Vec<u64> {
        queue.retained.keys().copied().collect()
    }

    #[test]
    fn l148_copies_leave_descriptors_to_what_is_new_and_stay_what_they_were() {
        let now = Instant::now();
        let mut queue = queue(&[100, 5000, 6000]);
        assert_eq!(queue.files(), 2);
        (1..=3).for_each(|id| assert!(queue.retain(id, now)));
        assert_eq!((queue.len(), queue.bytes(), queue.files(), queue.retained()), (0, 0, 2, 3));
        assert_eq!((queue.free_file(), queue.files()), (0, 1));
        assert_eq!((queue.free_file(), queue.files()), (0, 0));
        assert_eq!((queue.free_file(), queue.retained()), (0, 3));
        assert_eq!(queue.take_back(), (3, 0));
        let kinds: Vec<_> = queue.items.iter().map(|item| (item.id, item.is_resent, &item.body)).collect();
        assert!(matches!(kinds[0], (1, true, Body::Inline)));
        let Body::Parts { kind: 7, payload } = kinds[1].2 else { panic!("{kinds:?}") };
        assert_eq!(payload, &vec![3; 5000]);
        let list = headers(&queue.items[2].message).unwrap();
        assert_eq!(list.get(b"key"), Some(&b"value"[..]));
        let total: usize = queue.items.iter().map(Item::bytes).sum();
        assert_eq!((queue.bytes(), queue.retained_bytes), (total, 0));
    }

    #[test]
    fn copies_are_bounded_and_the_oldest_go_first() {
        let now = Instant::now();
        let mut queue = queue(&[100, 5000, 100, 100, 100]);
        (1..=5).for_each(|id| assert!(queue.retain(id, now)));
        assert_eq!(queue.trim(10_000), 0);
        // 100 bytes, 12 of a header's and 32 more.
        assert_eq!(queue.trim(3 * 144), 2);
        assert_eq!(ids(&queue), [3, 4, 5], "what is bigger than all of it is not kept, and then the oldest");
        queue.forget(4, 5..=9);
        assert_eq!(ids(&queue), [4]);
        queue.forget(0, 0..=0);
        assert_eq!((ids(&queue), queue.trim(0)), (vec![4], 1));
        assert_eq!((queue.retained_bytes, queue.retained_files), (0, 0));
    }

    #[test]
    fn what_servers_die_over_is_given_up() {
        let now = Instant::now();
        let mut queue = queue(&[100]);
        for round in 0..=ENDS_MAX_COUNT {
            assert!(queue.retain(1, now));
            let is_last = round == ENDS_MAX_COUNT;
            assert_eq!(queue.take_back(), if is_last { (0, 1) } else { (1, 0) });
        }
        assert_eq!((queue.len(), queue.bytes(), queue.retained()), (0, 0, 0));
    }
}
