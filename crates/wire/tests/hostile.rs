//! Every seed of the fuzzers, and some hundred thousand mutations of them, the same on every run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "support/targets.rs"]
mod targets;

use std::path::Path;

/// Mutated inputs for each target.
const MUTATIONS: usize = 40_000;
/// Mutated inputs grow no longer than this, bytes.
const MUTATED_MAX_BYTES: usize = 16 * 1024;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() >= 3, "few seeds in {}", directory.display());
    seeds
}

/// SplitMix64: the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A range of at most `most` bytes of a text of `length`.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(most + 1)).min(length)
    }
}

fn mutate(body: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    // Markers of the formats, and numbers at the edges of their widths.
    const BYTES: &[u8] =
        b"\x00\x01\x7f\x80\x90\xa0\xc0\xc1\xc4\xc6\xca\xcb\xcf\xd3\xd9\xdb\xdd\xde\xdf\xff\x0a\x12[]{}\",\\:|#@.-e_\n";
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(body.len() + 1);
        match numbers.below(8) {
            0 if at < body.len() => body[at] ^= 1 << numbers.below(8),
            1 if at < body.len() => body[at] = BYTES[numbers.below(BYTES.len())],
            2 => body.insert(at, BYTES[numbers.below(BYTES.len())]),
            3 => drop(body.drain(numbers.range(body.len(), 16))),
            4 => {
                let copy = body[numbers.range(body.len(), 64)].to_vec();
                body.splice(at..at, copy);
            }
            5 => drop(body.splice(at.., other[numbers.below(other.len() + 1)..].iter().copied())),
            6 => {
                let bytes = numbers.next().to_le_bytes();
                let end = (at + 4).min(body.len());
                drop(body.splice(at..end, bytes[..1 + numbers.below(8)].iter().copied()));
            }
            _ => body.truncate(at),
        }
    }
    body.truncate(MUTATED_MAX_BYTES);
}

#[test]
fn every_seed_is_survived() {
    for (name, target) in targets::ALL {
        seeds(name).iter().for_each(|seed| target(seed));
    }
}

#[test]
fn hundreds_of_thousands_of_mutated_bodies_are_survived() {
    std::thread::scope(|scope| {
        for (place, (name, target)) in targets::ALL.into_iter().enumerate() {
            scope.spawn(move || {
                let seeds = seeds(name);
                let mut numbers = Numbers(place as u64);
                for _ in 0..MUTATIONS {
                    let mut body = seeds[numbers.below(seeds.len())].clone();
                    let other = &seeds[numbers.below(seeds.len())];
                    mutate(&mut body, other, &mut numbers);
                    target(&body);
                }
            });
        }
    });
}
