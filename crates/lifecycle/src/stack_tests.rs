//! The stack against toy stages, on a paused clock.

use super::*;
use model::{Books, Receipt, Signal, Why};
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);
const ONE: NonZeroU32 = NonZeroU32::MIN;
const THREE: NonZeroU32 = ONE.saturating_add(2);

fn end(name: &'static str, end: End) -> StageEnd {
    StageEnd { name, end }
}

fn within(time: Duration) -> Deadline {
    Deadline::at(Instant::now() + time)
}

/// Two stages: an intake that accepts four units, and a forwarder that takes a second for each.
fn pipeline(books: &Books) -> Stack {
    let (to_forward, mut batches) = mpsc::channel::<Receipt>(8);
    let mut stack = Stack::default();
    stack.push("forward", THREE, move |close| async move {
        let work = async {
            while let Some(receipt) = batches.recv().await {
                tokio::time::sleep(SECOND).await;
                receipt.delivered();
            }
        };
        tokio::select! {
            () = work => {}
            () = close.abandoned() => {}
        }
    });
    let books = books.clone();
    stack.push("intake", ONE, move |close| async move {
        for _ in 0..4 {
            to_forward.send(books.accept(Signal::Traces, 1)).await.expect("forward outlives intake");
        }
        close.requested().await;
    });
    stack
}

#[tokio::test(start_paused = true)]
async fn a_patient_stop_delivers_everything() {
    let books = Books::default();
    let stack = pipeline(&books);
    tokio::task::yield_now().await;
    let ends = stack.unwind(within(10 * SECOND), || books.close()).await;
    assert_eq!(ends, [end("intake", End::Drained), end("forward", End::Drained)]);
    let book = books.book(Signal::Traces);
    assert_eq!((book.held, book.delivered), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_hurried_stop_accounts_for_everything() {
    let books = Books::default();
    let stack = pipeline(&books);
    tokio::task::yield_now().await;
    let ends = stack.unwind(within(5 * SECOND / 2), || books.close()).await;
    assert_eq!(ends, [end("intake", End::Drained), end("forward", End::Overdue)]);
    let book = books.book(Signal::Traces);
    assert_eq!((book.held, book.delivered, book.dropped(Why::Deadline)), (0, 2, 2));
    assert_eq!(book.dropped(Why::Forgotten), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_brings_the_end_forward() {
    let books = Books::default();
    let stack = pipeline(&books);
    tokio::task::yield_now().await;
    let start = Instant::now();
    let deadline = within(100 * SECOND);
    let hurried = deadline.clone();
    let unwound = async { stack.unwind(deadline, || books.close()).await };
    let signal = async move {
        tokio::time::sleep(SECOND / 2).await;
        hurried.hurry(Instant::now() + SECOND);
        hurried.hurry(Instant::now() + 50 * SECOND); // later: changes nothing
    };
    tokio::join!(unwound, signal);
    assert!(start.elapsed() <= 3 * SECOND / 2);
    let book = books.book(Signal::Traces);
    assert_eq!((book.held, book.delivered, book.dropped(Why::Deadline)), (0, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_stage_cannot_spend_the_time_below_it() {
    let books = Books::default();
    let mut stack = pipeline(&books);
    stack.push("listener", ONE, |_| std::future::pending());
    tokio::task::yield_now().await;
    let ends = stack.unwind(within(10 * SECOND), || books.close()).await;
    assert_eq!(
        ends,
        [end("listener", End::Aborted), end("intake", End::Drained), end("forward", End::Drained)]
    );
    let book = books.book(Signal::Traces);
    assert_eq!((book.held, book.delivered), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_panics_or_returns_early_is_named() {
    let mut stack = Stack::default();
    stack.push("steady", ONE, |close| async move { close.requested().await });
    let died = stack.died();
    stack.push("listener", ONE, |_| async {});
    assert_eq!(died.await, "listener");
    let ends = stack.unwind(within(SECOND), || ()).await;
    assert_eq!(ends, [end("listener", End::Drained), end("steady", End::Drained)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_from_an_end() {
    let mut stack = Stack::default();
    stack.push("broken", ONE, |close| async move {
        close.requested().await;
        panic!("the test's own panic");
    });
    let ends = stack.unwind(within(SECOND), || ()).await;
    assert_eq!(ends, [end("broken", End::Panicked)]);
}

#[tokio::test(start_paused = true)]
async fn every_stage_hears_of_the_stop_before_its_turn() {
    let mut stack = Stack::default();
    let (heard, mut was_heard) = mpsc::channel::<Option<Instant>>(1);
    stack.push("below", ONE, move |close| async move {
        close.stop_begun().await;
        heard.send(close.deadline()).await.expect("the test listens");
        close.requested().await;
    });
    stack.push("above", ONE, move |close| async move {
        close.requested().await;
        // Ends only when the stage below has heard, which it does before its own turn.
        assert!(was_heard.recv().await.flatten().is_some());
    });
    let ends = stack.unwind(within(SECOND), || ()).await;
    assert_eq!(ends, [end("above", End::Drained), end("below", End::Drained)]);
}
