//! Encoded entries, collected until one request's worth is there.
//!
//! Unlike [`crate::batch`] it remembers where each entry ends and how many samples it stands for: what turns out
//! too big when it is packed can be split, and each half keeps its own part of the books (losses.md L108).

use std::collections::VecDeque;

/// Memory of an entry beyond its bytes.
pub const ENTRY_OVERHEAD_BYTES: usize = size_of::<Entry>();

/// What one request may carry before it is packed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most bytes. A single entry that is bigger goes alone.
    pub bytes: usize,
    /// Most points.
    pub points: usize,
}

/// Entries of one request.
#[derive(Debug, Default)]
pub struct Batch {
    /// The entries, one after the other.
    pub bytes: Vec<u8>,
    entries: Vec<Entry>,
    points: usize,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its bytes end.
    end: usize,
    samples: u64,
    points: usize,
}

impl Batch {
    /// The entries' bytes.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|entry| entry.end));
        starts.zip(&self.entries).map(|(start, entry)| &self.bytes[start..entry.end])
    }

    /// The samples that the entries stand for.
    pub fn samples(&self) -> u64 {
        self.entries.iter().map(|entry| entry.samples).sum()
    }

    /// Two batches of about half of the entries each.
    ///
    /// # Errors
    /// The batch itself when there is only one entry.
    pub fn halves(mut self) -> Result<(Self, Self), Self> {
        let middle = self.entries.len() / 2;
        if middle == 0 {
            return Err(self);
        }
        let cut = self.entries[middle - 1].end;
        let mut rest: Vec<_> = self.entries.split_off(middle);
        for entry in &mut rest {
            entry.end -= cut;
        }
        let points = rest.iter().map(|entry| entry.points).sum();
        let second = Self { bytes: self.bytes.split_off(cut), entries: rest, points };
        self.points -= points;
        Ok((self, second))
    }

    /// Memory it takes.
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * ENTRY_OVERHEAD_BYTES
    }
}

/// Where entries wait for their request.
#[derive(Debug)]
pub struct Outbox {
    bounds: Bounds,
    open: Batch,
    closed: VecDeque<Batch>,
    /// When the oldest entry came, in nanoseconds since 1970.
    since: Option<i64>,
}

impl Outbox {
    /// Holds nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, open: Batch::default(), closed: VecDeque::new(), since: None }
    }

    /// Adds what `write` appends as one entry that stands for some samples.
    pub fn push(&mut self, samples: u64, points: usize, now_ns: i64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.open.bytes.len();
        write(&mut self.open.bytes);
        let is_full =
            self.open.bytes.len() > self.bounds.bytes || self.open.points + points > self.bounds.points;
        if is_full && start > 0 {
            let bytes = self.open.bytes.split_off(start);
            let next = Batch { bytes, ..Batch::default() };
            self.closed.push_back(std::mem::replace(&mut self.open, next));
        }
        let end = self.open.bytes.len();
        self.open.entries.push(Entry { end, samples, points });
        self.open.points += points;
        self.since.get_or_insert(now_ns);
    }

    /// Takes the next batch that is full, or with `all` any that holds something.
    pub fn pop(&mut self, all: bool) -> Option<Batch> {
        let batch = self.closed.pop_front().or_else(|| {
            let open = all && !self.open.entries.is_empty();
            open.then(|| std::mem::take(&mut self.open))
        });
        if self.closed.is_empty() && self.open.entries.is_empty() {
            self.since = None;
        }
        batch
    }

    /// Whether there is a batch that waits for no further entry.
    pub fn has_full(&self) -> bool {
        !self.closed.is_empty()
    }

    /// When the oldest entry came; `None` when nothing is held.
    pub fn since_ns(&self) -> Option<i64> {
        self.since
    }

    /// Memory it takes.
    pub fn held_bytes(&self) -> usize {
        self.open.held_bytes() + self.closed.iter().map(Batch::held_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { bytes: 10, points: 4 };

    fn drain(outbox: &mut Outbox) -> Vec<Batch> {
        std::iter::from_fn(|| outbox.pop(true)).collect()
    }

    #[test]
    fn a_batch_closes_before_a_bound_is_passed() {
        let mut outbox = Outbox::new(BOUNDS);
        for text in ["1234", "5678", "90", "x"] {
            outbox.push(1, 1, 5, |out| out.extend_from_slice(text.as_bytes()));
        }
        assert_eq!(outbox.since_ns(), Some(5));
        assert!(outbox.has_full());
        let full = outbox.pop(false).unwrap();
        assert!(!outbox.has_full());
        assert_eq!((&*full.bytes, full.samples()), (&b"1234567890"[..], 3));
        assert!(outbox.pop(false).is_none(), "the open one waits");
        assert_eq!(outbox.pop(true).unwrap().bytes, b"x");
        assert_eq!(outbox.since_ns(), None);

        for _ in 0..5 {
            outbox.push(1, 2, 6, |out| out.push(b'p'));
        }
        assert_eq!(drain(&mut outbox).iter().map(|batch| batch.points).collect::<Vec<_>>(), [4, 4, 2]);
    }

    #[test]
    fn l108_an_entry_over_the_bound_goes_alone_and_cannot_be_halved() {
        let mut outbox = Outbox::new(BOUNDS);
        outbox.push(1, 1, 0, |out| out.push(b'a'));
        outbox.push(7, 1, 0, |out| out.resize(out.len() + 50, b'b'));
        outbox.push(1, 1, 0, |out| out.push(b'c'));
        let batches = drain(&mut outbox);
        assert_eq!(batches.iter().map(|batch| batch.bytes.len()).collect::<Vec<_>>(), [1, 50, 1]);
        let alone = batches.into_iter().nth(1).unwrap();
        assert_eq!(alone.halves().unwrap_err().samples(), 7);
    }

    proptest! {
        #[test]
        fn halves_and_batches_keep_every_entry_and_sample(
            entries in proptest::collection::vec((0_usize..14, 0_u64..9, 0_usize..5), 1..40),
        ) {
            let mut outbox = Outbox::new(BOUNDS);
            for (index, (length, samples, points)) in entries.iter().enumerate() {
                outbox.push(*samples, *points, 0, |out| out.resize(out.len() + length, index as u8));
            }
            let expected: Vec<Vec<u8>> =
                entries.iter().enumerate().map(|(index, (length, ..))| vec![index as u8; *length]).collect();
            let samples: u64 = entries.iter().map(|(_, samples, _)| samples).sum();
            let mut found = Vec::new();
            let mut found_samples = 0;
            for batch in drain(&mut outbox) {
                let parts = match batch.halves() {
                    Ok((first, second)) => vec![first, second],
                    Err(whole) => vec![whole],
                };
                for part in parts {
                    found_samples += part.samples();
                    prop_assert_eq!(part.points, part.entries.iter().map(|entry| entry.points).sum::<usize>());
                    found.extend(part.entries().map(<[u8]>::to_vec));
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(found_samples, samples);
        }
    }
}
