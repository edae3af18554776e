//! What has not settled of each client, whether it is connected or not.

use crate::frame::Reply;
use std::collections::{BTreeSet, HashMap};

/// Notices in one datagram.
pub(super) const NOTICES_MAX_COUNT: usize = 64;
/// Settled submissions of one client that it was not told of one by one. Of more it hears when all before them have
/// settled, too.
const UNTOLD_MAX_COUNT: usize = 8 << 10;

/// By the number that each client's process gave itself.
#[derive(Debug, Default)]
pub(super) struct Accounts(HashMap<u64, Account>);

/// One client's. It is kept while the client is connected or something of it has not settled, so all of these are bounded
/// by the bounds of connections and of what the service accepts.
#[derive(Debug, Default)]
pub(super) struct Account {
    connection: Option<u64>,
    unsettled: BTreeSet<u64>,
    /// Settled, and the client was not told.
    untold: Vec<u64>,
}

impl Accounts {
    /// A client that proved itself. Gives the number below which all that it was told to be accepted has settled.
    pub(super) fn open(&mut self, client: u64, connection: u64) -> u64 {
        let account = self.0.entry(client).or_default();
        account.connection = Some(connection);
        account.settled_below()
    }

    /// Its connection ends.
    pub(super) fn leave(&mut self, client: u64, connection: u64) {
        let Some(account) = self.0.get_mut(&client) else { return };
        // It may have come again before the end of its former connection was found.
        if account.connection == Some(connection) {
            account.connection = None;
            self.tidy(client);
        }
    }

    fn tidy(&mut self, client: u64) {
        if self.0.get(&client).is_some_and(|its| its.connection.is_none() && its.unsettled.is_empty()) {
            self.0.remove(&client);
        }
    }

    /// Accepted, to settle later.
    pub(super) fn accept(&mut self, client: u64, id: u64) {
        if let Some(account) = self.0.get_mut(&client) {
            account.unsettled.insert(id);
        }
    }

    /// Gives the connection over which the client is to be told.
    pub(super) fn settle(&mut self, client: u64, id: u64) -> Option<u64> {
        let account = self.0.get_mut(&client)?;
        if account.unsettled.remove(&id) && account.untold.len() < UNTOLD_MAX_COUNT {
            account.untold.push(id);
        }
        let connection = account.connection;
        self.tidy(client);
        connection
    }

    /// Of the client that is told over this connection.
    pub(super) fn told_over(&mut self, client: Option<u64>, connection: u64) -> Option<&mut Account> {
        self.0.get_mut(&client?).filter(|account| account.connection == Some(connection))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Account {
    fn settled_below(&self) -> u64 {
        self.unsettled.first().copied().unwrap_or(u64::MAX)
    }

    pub(super) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// Appends what the client is to be told, as few notices as will do; gives how many submissions are in them, for
    /// [`Account::told`] when they were sent.
    pub(super) fn notices(&mut self, out: &mut Vec<u8>) -> usize {
        if self.untold.is_empty() {
            return 0;
        }
        let below = self.settled_below();
        self.untold.sort_unstable();
        let mut told = self.untold.partition_point(|id| *id < below);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for id in &self.untold[told..] {
            let is_full = ranges.len() == NOTICES_MAX_COUNT;
            match ranges.last_mut() {
                Some((_, last)) if last.saturating_add(1) >= *id => *last = *id,
                _ if is_full => break,
                _ => ranges.push((*id, *id)),
            }
            told += 1;
        }
        if ranges.is_empty() {
            // No submission has this number.
            ranges.push((0, 0));
        }
        for (first, last) in ranges {
            Reply::Settled { below, first, last }.encode(out);
        }
        told
    }

    /// So many of the first are on their way.
    pub(super) fn told(&mut self, count: usize) {
        self.untold.drain(..count.min(self.untold.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a client makes of a datagram.
    fn heard(mut bytes: &[u8], copies: &mut BTreeSet<u64>) -> usize {
        let mut count = 0;
        while !bytes.is_empty() {
            let (reply, rest) = Reply::decode(bytes).unwrap();
            let Reply::Settled { below, first, last } = reply else { panic!("{reply:?}") };
            copies.retain(|id| *id >= below && !(first..=last).contains(id));
            (bytes, count) = (rest, count + 1);
        }
        count
    }

    proptest! {
        #[test]
        fn a_client_forgets_what_has_settled_and_nothing_else(
            count in 1_u64..300,
            order in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..300),
            is_tidy: bool,
        ) {
            let mut accounts = Accounts::default();
            prop_assert_eq!(accounts.open(7, 1), u64::MAX);
            let mut unsettled: Vec<u64> = (1..=count).collect();
            let mut copies: BTreeSet<u64> = (1..=count).collect();
            unsettled.iter().for_each(|id| accounts.accept(7, *id));
            for (index, is_sent) in order {
                if unsettled.is_empty() {
                    break;
                }
                let id = if is_tidy { unsettled.remove(0) } else { unsettled.swap_remove(index.index(unsettled.len())) };
                prop_assert_eq!(accounts.settle(7, id), Some(1));
                let account = accounts.told_over(Some(7), 1).unwrap();
                let mut out = Vec::new();
                let told = account.notices(&mut out);
                if is_sent {
                    let notices = heard(&out, &mut copies);
                    prop_assert!(notices <= NOTICES_MAX_COUNT);
                    prop_assert!(!is_tidy || notices == 1);
                    account.told(told);
                }
                prop_assert!(unsettled.iter().all(|id| copies.contains(id)));
            }
            // What is left to tell, and then every copy is of something that has not settled.
            while accounts.told_over(Some(7), 1).unwrap().has_untold() {
                let account = accounts.told_over(Some(7), 1).unwrap();
                let mut out = Vec::new();
                let told = account.notices(&mut out);
                prop_assert!(told > 0);
                heard(&out, &mut copies);
                account.told(told);
            }
            unsettled.sort_unstable();
            prop_assert_eq!(copies.into_iter().collect::<Vec<_>>(), unsettled);
        }
    }

    #[test]
    fn who_is_gone_and_has_settled_is_forgotten() {
        let mut accounts = Accounts::default();
        accounts.open(7, 1);
        accounts.accept(7, 3);
        // It comes again before its former end is found.
        assert_eq!(accounts.open(7, 2), 3);
        assert!(accounts.told_over(Some(7), 1).is_none() && accounts.told_over(Some(7), 2).is_some());
        accounts.leave(7, 1);
        assert_eq!(accounts.settle(7, 9), Some(2));
        accounts.leave(7, 2);
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts.settle(7, 3), None);
        assert_eq!(accounts.len(), 0);
        assert_eq!(accounts.open(7, 4), u64::MAX);
        accounts.leave(7, 4);
        assert_eq!(accounts.len(), 0);
    }

    #[test]
    fn what_is_not_told_is_bounded() {
        let mut accounts = Accounts::default();
        accounts.open(7, 1);
        (1..=20_000).for_each(|id| accounts.accept(7, id));
        assert!((2..=20_000).all(|id| accounts.settle(7, id) == Some(1)));
        assert_eq!(accounts.told_over(Some(7), 1).unwrap().untold.len(), UNTOLD_MAX_COUNT);
        accounts.settle(7, 1);
        let mut out = Vec::new();
        let mut copies: BTreeSet<u64> = (1..=20_000).collect();
        accounts.told_over(Some(7), 1).unwrap().notices(&mut out);
        assert_eq!(heard(&out, &mut copies), 1);
        assert!(copies.is_empty());
    }
}
