//! The priority sampler: it keeps what tracers kept, and tells them how much to keep next.

use super::Rates;
use super::adaptive::{Adaptive, Seen};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Pairs of service and environment that are known at one time.
const CATALOG_MAX_ENTRIES: usize = 5_000;

#[derive(Debug)]
struct Entry {
    service: Box<str>,
    env: Box<str>,
    seen: Seen,
    /// Used since the hand of the clock passed last.
    used: bool,
}

/// Counts by (service, environment) and the rates that follow from them.
#[derive(Debug)]
pub(super) struct Priority {
    agent_env: Box<str>,
    adaptive: Adaptive,
    /// Positions in `entries`, by service and environment.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// Next entry that is evicted unless it was used: least recently used, to a good approximation
    /// and without a list to maintain for each chunk.
    hand: usize,
    hasher: RandomState,
    published: Arc<Rates>,
    versions: u64,
}

impl Priority {
    pub(super) fn new(target_tps: f64, agent_env: &str, now_ns: i64) -> Self {
        let mut priority = Self {
            agent_env: agent_env.into(),
            adaptive: Adaptive::new(target_tps),
            index: HashTable::new(),
            entries: Vec::new(),
            hand: 0,
            hasher: RandomState::default(),
            published: Arc::default(),
            versions: 0,
        };
        priority.evaluate(now_ns);
        priority
    }

    /// Counts a trace and returns the rate that applies to its kind.
    pub(super) fn count(&mut self, service: &str, env: &str, weight: f32, now_ns: i64) -> f64 {
        if self.adaptive.is_due(now_ns) {
            self.evaluate(now_ns);
        }
        let hash = hash(&self.hasher, service, env);
        let entries = &self.entries;
        let found = self.index.find(hash, |position| {
            let entry = &entries[*position as usize];
            *entry.service == *service && *entry.env == *env
        });
        let position = match found {
            Some(position) => *position as usize,
            None => self.insert(hash, service, env),
        };
        let entry = &mut self.entries[position];
        entry.used = true;
        self.adaptive.count(&mut entry.seen, weight);
        entry.seen.rate().unwrap_or_else(|| self.adaptive.default_rate())
    }

    /// The rates as of now.
    pub(super) fn rates(&mut self, now_ns: i64) -> Arc<Rates> {
        if self.adaptive.is_due(now_ns) {
            self.evaluate(now_ns);
        }
        Arc::clone(&self.published)
    }

    fn insert(&mut self, hash: u64, service: &str, env: &str) -> usize {
        let entry = Entry { service: service.into(), env: env.into(), seen: Seen::default(), used: true };
        let position = if self.entries.len() < CATALOG_MAX_ENTRIES {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let position = self.evict();
            self.entries[position] = entry;
            position
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, position as u32, |position| {
            let entry = &entries[*position as usize];
            self::hash(hasher, &entry.service, &entry.env)
        });
        position
    }

    /// Frees the position of an entry that was not used for long.
    fn evict(&mut self) -> usize {
        loop {
            let position = self.hand % self.entries.len().max(1);
            self.hand = position + 1;
            let entry = &mut self.entries[position];
            // Each pass of the hand clears the marks, so the second round ends at the latest.
            if std::mem::take(&mut entry.used) {
                continue;
            }
            let hash = hash(&self.hasher, &entry.service, &entry.env);
            if let Ok(found) = self.index.find_entry(hash, |candidate| *candidate as usize == position) {
                found.remove();
            }
            return position;
        }
    }

    fn evaluate(&mut self, now_ns: i64) {
        self.adaptive.evaluate(now_ns, self.entries.iter_mut().map(|entry| &mut entry.seen));
        let before = self.entries.len();
        self.entries.retain(|entry| entry.seen.rate().is_some());
        if self.entries.len() != before {
            self.index.clear();
            let (entries, hasher) = (&self.entries, &self.hasher);
            let hash_at = |position: &u32| {
                let entry = &entries[*position as usize];
                hash(hasher, &entry.service, &entry.env)
            };
            for position in 0..entries.len() as u32 {
                self.index.insert_unique(hash_at(&position), position, hash_at);
            }
        }
        self.publish(now_ns);
    }

    fn publish(&mut self, now_ns: i64) {
        let mut by_service = BTreeMap::new();
        for entry in &self.entries {
            let Some(rate) = entry.seen.rate() else { continue };
            by_service.insert(label(&entry.service, &entry.env), rate);
            // Tracers without an environment of their own are counted under the agent's.
            if entry.env == self.agent_env {
                by_service.insert(label(&entry.service, ""), rate);
            }
        }
        by_service.insert(label("", ""), self.adaptive.default_rate().clamp(0.0, 1.0));
        if self.versions == 0 || by_service != self.published.by_service {
            self.versions += 1;
            let version = format!("{:x}-{:x}", now_ns.div_euclid(1_000_000_000).max(0), self.versions);
            self.published = Arc::new(Rates { by_service, version });
        }
    }
}

fn label(service: &str, env: &str) -> String {
    format!("service:{service},env:{env}")
}

fn hash(hasher: &RandomState, service: &str, env: &str) -> u64 {
    hasher.hash_one((service, env))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn the_catalog_forgets_what_was_not_used_for_long_and_holds_no_more_than_its_bound() {
        let mut priority = Priority::new(10.0, "prod", 0);
        for service in 0..3 * CATALOG_MAX_ENTRIES {
            priority.count("steady", "prod", 1.0, SECOND);
            priority.count(&format!("service-{service}"), "prod", 1.0, SECOND);
        }
        assert_eq!(priority.entries.len(), CATALOG_MAX_ENTRIES);
        assert_eq!(priority.index.len(), CATALOG_MAX_ENTRIES);
        assert!(priority.entries.iter().any(|entry| *entry.service == *"steady"));
    }

    #[test]
    fn a_silent_service_leaves_the_catalog_once_its_rate_is_back_at_one() {
        let mut priority = Priority::new(10.0, "prod", 0);
        priority.count("web", "prod", 1.0, SECOND);
        let seen = priority.rates(6 * SECOND);
        assert_eq!(seen.by_service.get("service:web,env:prod"), Some(&1.0));
        assert_eq!(seen.by_service.get("service:web,env:"), Some(&1.0));
        let gone = priority.rates(60 * SECOND);
        assert_eq!(gone.by_service.len(), 1);
        assert_ne!(gone.version, seen.version);
        assert!(priority.entries.is_empty() && priority.index.is_empty());
    }

    #[test]
    fn unchanged_rates_keep_their_version_and_their_allocation() {
        let mut priority = Priority::new(10.0, "prod", 1_700_000_000 * SECOND);
        let first = priority.rates(1_700_000_000 * SECOND);
        assert_eq!(first.version, "6553f100-1");
        assert_eq!(first.by_service.get("service:,env:"), Some(&1.0));
        assert!(Arc::ptr_eq(&first, &priority.rates(1_700_000_100 * SECOND)));
    }
}
