//! The ledger under every interleaving of threads that accept, settle, forget and read.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p lastlight-model --release`.

use crate::receipt::{Ledger, Why};
use loom::{sync::Arc, thread};

#[test]
fn a_reader_never_sees_more_settled_than_accepted() {
    loom::model(|| {
        let ledger = Arc::new(Ledger::default());
        let worker = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || {
                let mut receipt = Ledger::accept(&ledger, 2);
                receipt.take(1).dropped(Why::Sampled);
                receipt.delivered();
            })
        };
        // `book` subtracts; an underflow would panic here.
        let book = ledger.book();
        assert_eq!(book.accepted, book.delivered + book.dropped(Why::Sampled) + book.held);
        worker.join().unwrap();
        let book = ledger.book();
        assert_eq!((book.accepted, book.delivered, book.dropped(Why::Sampled), book.held), (2, 1, 1, 0));
    });
}

#[test]
fn what_is_forgotten_is_late_only_after_the_close() {
    loom::model(|| {
        let ledger = Arc::new(Ledger::default());
        let receipt = Ledger::accept(&ledger, 1);
        let worker = thread::spawn(move || drop(receipt));
        ledger.close();
        worker.join().unwrap();
        let book = ledger.book();
        assert_eq!(book.dropped(Why::Forgotten) + book.dropped(Why::Deadline), 1);
        assert_eq!(book.held, 0);
    });
}
