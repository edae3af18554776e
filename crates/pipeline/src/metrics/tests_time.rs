//! Buckets, flushes, expiry and memory.

use super::*;

#[test]
fn only_closed_buckets_are_told_unless_all_is_asked_for() {
    let mut aggregator = aggregator();
    send(&mut aggregator, "g", "", "g", &[1.0], 1.0);
    aggregator.set_now(1_009);
    assert_eq!(flush(&mut aggregator, Flush::Closed), []);
    assert_eq!(aggregator.next_flush(), Some(1_010));
    aggregator.set_now(1_010);
    assert_eq!(points(&flush(&mut aggregator, Flush::Closed)), [("g", [(1_000, 1.0)].as_slice())]);
    assert_eq!(flush(&mut aggregator, Flush::All), []);
}

#[test]
fn l83_open_buckets_are_told_at_a_stop() {
    let mut aggregator = aggregator();
    aggregator.set_now(1_003);
    send(&mut aggregator, "c", "", "c", &[5.0], 1.0);
    assert_eq!(points(&all(&mut aggregator)), [("c", [(1_000, 0.5)].as_slice())]);
}

#[test]
fn parts_of_a_bucket_have_points_of_their_own() {
    let mut aggregator = aggregator();
    for part in 0..3 {
        aggregator.set_now(1_001 + part);
        send(&mut aggregator, "c", "", "c", &[10.0], 1.0);
        send(&mut aggregator, "d", "", "d", &[10.0], 1.0);
        let told = all(&mut aggregator);
        let wanted: [(&str, &[(i64, f64)]); 2] =
            [("c", &[(1_000 + part, 1.0)]), ("d", &[(1_000 + part, 10.0)])];
        assert_eq!(points(&told), wanted);
    }
    // The rest, when the bucket is over; and no zero where something was told.
    send(&mut aggregator, "c", "", "c", &[20.0], 1.0);
    aggregator.set_now(1_025);
    assert_eq!(
        points(&flush(&mut aggregator, Flush::Closed)),
        [("c", [(1_003, 2.0), (1_010, 0.0)].as_slice())]
    );
    // However many parts there are, they stay in their bucket.
    for _ in 0..30 {
        send(&mut aggregator, "c", "", "c", &[1.0], 1.0);
        assert!((1_020..1_030).contains(&all(&mut aggregator)[0].points[0].0));
    }
}

#[test]
fn a_late_flush_tells_each_bucket_at_its_time() {
    let mut aggregator = aggregator();
    for (now, value) in [(1_001, 1.0), (1_011, 2.0), (1_019, 3.0), (1_042, 4.0)] {
        aggregator.set_now(now);
        send(&mut aggregator, "c", "", "c", &[value * 10.0], 1.0);
        send(&mut aggregator, "g", "", "g", &[value], 1.0);
    }
    let mut told: Vec<_> = all(&mut aggregator).into_iter().map(|told| (told.name, told.points)).collect();
    told.sort_by_key(|(name, points)| (name.clone(), points[0].0));
    let told: Vec<_> = told.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect();
    let wanted: [(&str, &[(i64, f64)]); 6] = [
        ("c", &[(1_000, 1.0)]),
        ("c", &[(1_010, 5.0), (1_020, 0.0), (1_030, 0.0)]),
        ("c", &[(1_040, 4.0)]),
        ("g", &[(1_000, 1.0)]),
        ("g", &[(1_010, 3.0)]),
        ("g", &[(1_040, 4.0)]),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn counts_are_told_as_zero_until_they_expire() {
    let mut aggregator = aggregator();
    send(&mut aggregator, "c", "", "c", &[1.0], 1.0);
    send(&mut aggregator, "g", "", "g", &[1.0], 1.0);
    let told = run_dry(&mut aggregator);
    let times: Vec<i64> =
        told.iter().filter(|told| told.name == "c").flat_map(|told| &told.points).map(|p| p.0).collect();
    assert_eq!(times, (100..130).map(|bucket| bucket * 10).collect::<Vec<_>>());
    assert_eq!(told.iter().filter(|told| told.name == "g").count(), 1);
    assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), 2);
    assert_eq!((aggregator.contexts(), aggregator.next_flush()), (0, None));
}

#[test]
fn contexts_expire_when_they_are_silent_and_not_before() {
    let mut aggregator = aggregator();
    send(&mut aggregator, "g", "", "g", &[1.0], 1.0);
    for (now, contexts) in [(1_010, 1), (1_019, 1), (1_020, 0)] {
        aggregator.set_now(now);
        flush(&mut aggregator, Flush::Closed);
        assert_eq!(aggregator.contexts(), contexts, "{now}");
    }
    send(&mut aggregator, "c", "", "c", &[1.0], 1.0);
    for (now, contexts) in [(1_330, 1), (1_339, 1), (1_340, 0)] {
        aggregator.set_now(now);
        flush(&mut aggregator, Flush::Closed);
        assert_eq!(aggregator.contexts(), contexts, "{now}");
    }
}

#[test]
fn an_id_of_before_a_flush_is_refused_rather_than_mistaken() {
    let mut aggregator = aggregator();
    let id = aggregator.context(&key("old", "", "g")).unwrap();
    aggregator.set_now(1_100);
    flush(&mut aggregator, Flush::Closed);
    aggregator.context(&key("new", "", "g")).unwrap();
    assert_eq!(aggregator.add(id, 1.0, 1.0), Err(Refused::Stale));
}

#[test]
fn samples_between_the_steps_of_a_flush_are_neither_lost_nor_told_twice() {
    let mut aggregator = aggregator();
    let name = |at: usize| format!("m{at}");
    for at in 0..3_000 {
        send(&mut aggregator, &name(at), "", "c", &[10.0], 1.0);
    }
    aggregator.set_now(1_010);
    let mut told = Collected::default();
    aggregator.begin_flush(Flush::Closed);
    let mut more = true;
    while more {
        for at in (0..4_000).step_by(3) {
            send(&mut aggregator, &name(at), "", "c", &[10.0], 1.0);
        }
        more = aggregator.flush_step(&mut told);
        // Asking again, for more, waits for its turn.
        if told.0.len() < 1_500 {
            aggregator.begin_flush(Flush::Closed);
        }
    }
    while aggregator.flush_step(&mut told) {}
    told.0.extend(all(&mut aggregator));
    let of_first: f64 =
        told.0.iter().filter(|told| told.points[0].0 == 1_000).map(|told| told.points[0].1).sum();
    assert_eq!(of_first, 3_000.0);
    let mut places: Vec<_> = told.0.iter().map(|told| (&told.name, told.points[0].0)).collect();
    let before = places.len();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), before, "two points of one series and time");
}

#[test]
fn l105_timestamped_samples_pass_through() {
    let mut aggregator = aggregator();
    let mut told = Collected::default();
    let mut pass =
        |key: Key<'_>, values: &[f64], rate| aggregator.timestamped(&key, values, rate, 77, &mut told);
    assert_eq!(pass(key("g", "b,a,host:h", "g"), &[1.0, 2.0], 1.0), Ok(()));
    assert_eq!(pass(key("c", "", "c"), &[1.0, 2.0], 0.5), Ok(()));
    assert_eq!(pass(key("c", "", "c"), &[], 1.0), Ok(()));
    for letters in ["h", "ms", "d", "s"] {
        assert_eq!(pass(key("x", "", letters), &[1.0], 1.0), Err(Refused::UnsupportedTimestamp));
    }
    assert_eq!(pass(key("c", "", "c"), &[1.0, f64::NAN], 1.0), Err(Refused::BadValue));
    assert_eq!(pass(key("c", "", "c"), &[1.0], 0.0), Err(Refused::BadRate));
    assert_eq!(pass(key("", "", "c"), &[1.0], 1.0), Err(Refused::BadName));
    assert_eq!(points(&told.0), [("g", [(77, 2.0)].as_slice()), ("c", [(77, 0.6)].as_slice())]);
    assert_eq!((told.0[0].samples, told.0[1].samples), (2, 2));
    assert_eq!((told.0[0].host.as_str(), told.0[1].kind), ("h", Some((SeriesType::Rate, 10))));
    assert_eq!((aggregator.contexts(), aggregator.next_flush()), (0, None));
}

#[test]
fn l40_a_context_spans_buckets_and_what_does_not_fit_is_refused_by_name() {
    let mut aggregator =
        Aggregator::new(MetricsConfig { contexts_max: 2, ..MetricsConfig::default() }, 1_000);
    for now in [1_000, 1_010, 1_020] {
        aggregator.set_now(now);
        send(&mut aggregator, "a", "", "g", &[1.0], 1.0);
        send(&mut aggregator, "b", "", "g", &[1.0], 1.0);
    }
    assert_eq!(aggregator.contexts(), 2);
    assert_eq!(aggregator.context(&key("c", "", "g")), Err(Refused::ContextsFull));
    // Those that are there go on.
    send(&mut aggregator, "a", "", "g", &[1.0], 1.0);
    run_dry(&mut aggregator);
    assert!(aggregator.context(&key("c", "", "g")).is_ok());
}

#[test]
fn l119_contexts_and_values_stay_below_the_byte_bound() {
    const BOUND: usize = 1_000_000;
    let mut aggregator = aggregator();
    aggregator.set_bytes_max(BOUND);
    let mut taken = 0;
    for at in 0..50_000 {
        let tags = format!("n:{}", at % 5_000);
        let letters = MetricType::ALL[at % 6].letters();
        let added = aggregator.context(&key("metric", &tags, letters)).and_then(|id| match letters {
            "s" => aggregator.add_member(id, &at.to_le_bytes()),
            _ => aggregator.add(id, at as f64, 0.5),
        });
        match added {
            Ok(()) => taken += 1,
            Err(refused) => assert_eq!(refused, Refused::MemoryFull),
        }
        if at % 5_000 == 0 {
            aggregator.set_now(1_000 + at as i64 / 500);
        }
    }
    assert!(aggregator.bytes() < BOUND + 100_000, "{}", aggregator.bytes());
    assert!((1_000..50_000).contains(&taken));
    assert_eq!(run_dry(&mut aggregator).iter().map(|told| told.samples).sum::<u64>(), taken);
}

#[test]
fn l55_memory_is_given_back_when_contexts_expire() {
    let mut aggregator = aggregator();
    let empty = aggregator.bytes();
    let mut least = 0;
    for at in 0..30_000 {
        let tags = format!("some.tag.of.mine:{at},another:tag");
        send(&mut aggregator, "some.metric", &tags, MetricType::ALL[at % 6].letters(), &[1.0; 9], 1.0);
        // The text, and the least a context with its value can take.
        least += 11 + tags.len() + 40;
    }
    let held = aggregator.bytes();
    assert!((least..30_000 * 500).contains(&held), "{held}, at least {least}");
    run_dry(&mut aggregator);
    assert_eq!((aggregator.contexts(), aggregator.value_bytes_for_test()), (0, 0));
    assert!(aggregator.bytes() < empty + 60_000, "{}", aggregator.bytes());
}
