//! A batch of datagrams in memory that is used again and again.

/// Datagrams that one batch holds at most.
const BATCH_MAX_PACKETS: usize = 64;
/// Datagrams that one batch holds at least, however long they may be.
const BATCH_MIN_PACKETS: usize = 4;
/// Memory of one batch, where the bound of a datagram allows.
const BATCH_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Slots begin at multiples of this, the length of a cache line.
const SLOT_ALIGN_BYTES: usize = 64;

/// Datagrams received together. Memory is reserved once, and becomes resident as far as it is used.
#[derive(Debug)]
pub struct Packets {
    /// Slots of `slot_bytes` each, one after the other.
    memory: Box<[u8]>,
    slot_bytes: usize,
    datagram_max_bytes: usize,
    /// Of the slots that are filled, from the first.
    filled: Vec<Filled>,
    slots: usize,
}

/// Length of a slot's datagram, as far as it was received, and whether it was longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    pub(super) bytes: usize,
    pub(super) truncated: bool,
}

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The datagram, or its beginning.
    pub bytes: &'a [u8],
    /// Whether the datagram was longer, so that the last line of `bytes` may be cut (losses.md L48).
    pub truncated: bool,
}

impl Packets {
    /// Room for a batch of datagrams of up to `datagram_max_bytes` each; longer ones are cut, and told as cut.
    pub fn new(datagram_max_bytes: usize) -> Self {
        // One byte more than is handed out, so that a longer datagram is noticed on every system.
        let slot_bytes = datagram_max_bytes.saturating_add(1).next_multiple_of(SLOT_ALIGN_BYTES);
        let slots = (BATCH_MAX_BYTES / slot_bytes).clamp(BATCH_MIN_PACKETS, BATCH_MAX_PACKETS);
        Self {
            memory: vec![0; slot_bytes * slots].into_boxed_slice(),
            slot_bytes,
            datagram_max_bytes,
            filled: Vec::with_capacity(slots),
            slots,
        }
    }

    /// The datagrams in the order in which they were received.
    pub fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        self.memory.chunks_exact(self.slot_bytes).zip(&self.filled).map(|(slot, filled)| Packet {
            bytes: &slot[..filled.bytes.min(self.datagram_max_bytes)],
            truncated: filled.truncated || filled.bytes > self.datagram_max_bytes,
        })
    }

    /// Datagrams in the batch.
    pub fn len(&self) -> usize {
        self.filled.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Forgets the datagrams.
    pub fn clear(&mut self) {
        self.filled.clear();
    }

    /// Datagrams that fit.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The slots, and the list in which the filled ones are noted.
    pub(super) fn parts(&mut self) -> (impl Iterator<Item = &mut [u8]>, &mut Vec<Filled>) {
        (self.memory.chunks_exact_mut(self.slot_bytes), &mut self.filled)
    }
}
