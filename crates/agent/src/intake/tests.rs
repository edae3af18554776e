//! Requests taken while nothing else runs, as in a process that was frozen and thaws.

use super::*;
use crate::compose::bind;
use crate::config::{Config, source::Fixed};
use crate::platform::Tags;
use crate::room::Room;
use lifecycle::{Deadline, Instant as Moment};
use testkit::Backend;
use testkit::payload::{span, v04};

/// Two requests one after the other, while no stage gets to run: how many batches were closed by them.
async fn closed_by_activity(flush_period: Duration) -> usize {
    let backend = Backend::start().await;
    let strings = Fixed::new().with("DD_API_KEY", "0123456789abcdef").with("DD_APM_DD_URL", &backend.url());
    let mut config = Config::load(&strings).expect("a configuration");
    config.receiver.port = Some(0);
    config.dogstatsd.udp = Vec::new();
    config.flush_period = flush_period;
    let running = bind(config).await.expect("a port").start(Arc::new(strings)).expect("a start");
    let intake = Arc::clone(running.intake());
    let labels = Labels::new(&Tags::default());
    // Nothing is awaited from here on, and there is one thread: no timer fires.
    for id in 1..=2 {
        let bytes = v04(&[vec![span(id)]]);
        let room: Room = intake.budget.take(Signal::Traces, bytes.len() * 2).expect("room");
        let taken = Taken { bytes: bytes.into(), room, hold: None };
        let answer = intake.traces(Route::TracesV04, &HeaderMap::new(), taken, &labels);
        assert!(answer.is_ok());
    }
    let closed = intake.egress.closed.lock().expect("whole").len();
    drop(intake);
    let report = running.stop("a test", Deadline::at(Moment::now() + Duration::from_secs(60))).await;
    assert_eq!((report.lost(), backend.span_count()), (0, 2), "{report}");
    closed
}

#[tokio::test]
async fn l93_an_old_batch_leaves_with_the_next_activity_though_no_timer_fired() {
    assert_eq!(closed_by_activity(Duration::ZERO).await, 2);
    assert_eq!(closed_by_activity(Duration::from_secs(60)).await, 0, "a young one waits");
}
