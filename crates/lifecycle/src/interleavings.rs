//! The stack under every order of its tasks, the deadline firing at any moment.
//!
//! Run with `RUSTFLAGS="--cfg shuttle" cargo test -p lastlight-lifecycle`.

use super::*;
use model::{Books, Receipt, Signal, Why};
use tokio::sync::mpsc;

const ONE: NonZeroU32 = NonZeroU32::MIN;
/// Random schedules tried per test, beside the exhaustive search of the smallest case.
const SCHEDULES: usize = 20_000;

/// Intake accepts `units`, hands them to a forwarder that yields before each delivery.
fn stopped_at_any_moment(units: u64) {
    shuttle::future::block_on(async move {
        let books = Books::default();
        let (to_forward, mut batches) = mpsc::channel::<Receipt>(2);
        let mut stack = Stack::default();
        stack.push("forward", ONE, move |close| async move {
            let work = async {
                while let Some(receipt) = batches.recv().await {
                    shuttle::future::yield_now().await;
                    receipt.delivered();
                }
            };
            tokio::select! {
                biased;
                () = work => {}
                () = close.abandoned() => {}
            }
        });
        let accepted = books.clone();
        stack.push("intake", ONE, move |close| async move {
            for _ in 0..units {
                if close.is_requested() {
                    break;
                }
                let sent = to_forward.send(accepted.accept(Signal::Traces, 1)).await;
                assert!(sent.is_ok(), "forward ended before intake");
            }
            close.requested().await;
        });
        let ends = stack.unwind(Deadline::at(Instant::now()), || books.close()).await;
        let book = books.book(Signal::Traces);
        assert_eq!(ends.len(), 2);
        assert_eq!(book.dropped(Why::Forgotten), 0, "{book:?} {ends:?}");
        // A task aborted too late to be awaited may settle later; every other end means nothing is held.
        if ends.iter().all(|stage| stage.end != End::Aborted) {
            assert_eq!(book.held, 0, "{book:?} {ends:?}");
        }
        if ends.iter().all(|stage| stage.end == End::Drained) {
            assert_eq!(book.delivered, book.accepted, "{book:?} {ends:?}");
        }
    });
}

#[test]
fn every_order_of_the_smallest_stop_is_sound() {
    shuttle::check_dfs(|| stopped_at_any_moment(1), None);
}

#[test]
fn no_order_of_a_stop_loses_or_forgets_a_unit() {
    shuttle::check_random(|| stopped_at_any_moment(3), SCHEDULES);
}

#[test]
fn rare_orders_of_a_stop_lose_or_forget_nothing_either() {
    shuttle::check_pct(|| stopped_at_any_moment(3), SCHEDULES, 3);
}
