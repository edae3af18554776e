//! Metrics, events and checks for people at a terminal: a short block for each flush, a table at the end.

use super::text::{clean, count, grouped, number, padded, shorten, truncate, width};
use super::tree::{BAR_FROM_WIDTH, BOLD, DIM, GREEN, RED, TYPE_FROM_WIDTH, Tree, YELLOW};
use crate::metric::{Context, Event, Kind, Status};
use crate::store::{CheckKey, Entry, State, Store};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Lines of metrics that one flush shows; the contexts beyond are counted.
pub(crate) const FLUSH_LINES_MAX: usize = 12;
/// Lines of the table at the end.
pub(crate) const TABLE_LINES_MAX: usize = 40;
/// Checks that one flush, or the end, shows.
const CHECKS_SHOWN_MAX: usize = 8;
/// Columns of a metric's name at most.
const NAME_WIDTH_MAX: usize = 48;
/// Columns that values have at least, where tags are long.
const VALUES_WIDTH_MIN: usize = 36;
/// Columns of a kind.
const KIND_WIDTH: usize = 5;
/// Columns of a sparkline where figures need the room.
const SPARK_WIDTH_MIN: usize = 8;
/// Columns of a sparkline at most.
const SPARK_WIDTH_MAX: usize = 20;
/// The colour of sparklines, of the 256 of a terminal.
const SPARK: &str = "38;5;39";
/// Seconds that one column of a sparkline stands for: the agent's bucket (`facts/dogstatsd.md` §5).
const SPARK_STEP_SECONDS: i64 = 10;
/// Heights of a sparkline.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Metrics about agents and clients themselves; they are counted, not listed.
const OWN_PREFIX: &str = "datadog.";
/// What the agent makes of a histogram (`facts/dogstatsd.md` §5): average, median, 95th percentile, greatest, number.
const FAMILY: [&str; 5] = [".avg", ".median", ".95percentile", ".max", ".count"];

/// What changed since the last time; nothing when nothing did.
pub(crate) fn flush(tree: &mut Tree, store: &Store) -> String {
    let total = tree.width();
    let list = List::of(store, |entry| entry.changed);
    let mut block = list.text(tree, store, FLUSH_LINES_MAX, total);
    events(tree, store, store.fresh, total, &mut block);
    checks(tree, &store.states, |state| state.changed, total, &mut block);
    if block.is_empty() { block } else { format!("\n{block}") }
}

/// All there is, in `total` columns, for the end.
pub(crate) fn table(tree: &mut Tree, store: &Store, total: usize) -> String {
    let mut table = List::of(store, |_| true).text(tree, store, TABLE_LINES_MAX, total);
    if store.unkept > 0 {
        let text = format!("… and {} of other contexts, not kept", count(store.unkept, "point"));
        table.push_str(&format!("{}\n", tree.paint.with(RED, &text)));
    }
    events(tree, store, store.events, total, &mut table);
    checks(tree, &store.states, |_| true, total, &mut table);
    table
}

/// One line: a context, or those that one histogram became.
struct Row<'a> {
    name: &'a str,
    context: &'a Context,
    kind: &'static str,
    values: Vec<Value>,
    history: &'a VecDeque<(i64, f64)>,
    /// The sparkline begins at zero, not at the least value.
    from_zero: bool,
    /// How many contexts it stands for.
    contexts: usize,
}

/// A figure with its label. Where there is not room for all, the least ranks stay.
struct Value {
    rank: u8,
    text: String,
}

/// Rows, and how many contexts of agents and clients themselves there are beside.
struct List<'a> {
    rows: Vec<Row<'a>>,
    own: usize,
}

/// What the members of a family share.
type Place<'a> = (&'a str, &'a [String], &'a str, &'a [(String, String)]);

fn place<'a>(name: &'a str, context: &'a Context) -> Place<'a> {
    (name, &context.tags, &context.host, &context.resources)
}

/// The base name and which of [`FAMILY`] it is.
fn member(context: &Context) -> Option<(&str, usize)> {
    let of = |(number, suffix): (usize, &&str)| Some((context.name.strip_suffix(*suffix)?, number));
    let (base, number) = FAMILY.iter().enumerate().find_map(of)?;
    let kind = if number == FAMILY.len() - 1 { Kind::Rate } else { Kind::Gauge };
    (context.kind == kind && !base.is_empty()).then_some((base, number))
}

impl<'a> List<'a> {
    fn of(store: &'a Store, wanted: impl Fn(&Entry) -> bool) -> Self {
        let mut families: HashMap<Place<'a>, [Option<&'a Entry>; FAMILY.len()]> = HashMap::new();
        for (context, entry) in &store.contexts {
            if let Some((base, number)) = member(context) {
                families.entry(place(base, context)).or_default()[number] = Some(entry);
            }
        }
        let mut list = Self { rows: Vec::new(), own: 0 };
        let mut seen = HashSet::new();
        for (context, entry) in &store.contexts {
            let family = member(context).and_then(|(base, _)| {
                let place = place(base, context);
                let [Some(average), Some(median), Some(p95), Some(max), Some(number)] =
                    *families.get(&place)?
                else {
                    return None;
                };
                Some((place, [average, median, p95, max, number]))
            });
            let is_wanted = match &family {
                Some((place, entries)) => entries.iter().any(|entry| wanted(entry)) && seen.insert(*place),
                None => wanted(entry),
            };
            if !is_wanted {
                continue;
            }
            let row = match family {
                Some((place, entries)) => Row::of_family(place.0, context, entries),
                None => Row::of(context, entry),
            };
            if row.name.starts_with(OWN_PREFIX) {
                list.own += row.contexts;
            } else {
                list.rows.push(row);
            }
        }
        list
    }

    fn text(&self, tree: &Tree, store: &Store, lines_max: usize, total: usize) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let hosts = store
            .contexts
            .keys()
            .any(|context| store.contexts.keys().next().is_some_and(|first| first.host != context.host));
        let common = self.common_tags();
        let contexts: usize = self.rows.iter().map(|row| row.contexts).sum();
        let mut header = format!("metrics  {}", count(contexts as u64, "context"));
        if !common.is_empty() {
            let tags: Vec<_> = common.iter().map(|tag| clean(tag)).collect();
            header.push_str(&format!("  each with {}", tags.join(" ")));
        }
        let mut text = format!("{}\n", tree.paint.with(DIM, &truncate(&header, total)));
        let shown = &self.rows[..self.rows.len().min(lines_max)];
        let tags: Vec<_> = shown.iter().map(|row| row.tags(&common, hosts)).collect();
        let layout = Layout::of(shown, &tags, total);
        for (row, tags) in shown.iter().zip(&tags) {
            text.push_str(&layout.line(tree, row, tags));
        }
        let more: usize = self.rows[shown.len()..].iter().map(|row| row.contexts).sum();
        let mut rest = Vec::new();
        if more > 0 {
            rest.push(format!("{} more", grouped(more as u64)));
        }
        if self.own > 0 {
            rest.push(format!("{} of {OWN_PREFIX}*", self.own));
        }
        if !rest.is_empty() {
            text.push_str(&format!("{}\n", tree.paint.with(DIM, &format!("… and {}", rest.join(", ")))));
        }
        text
    }

    /// The tags of every row, told once.
    fn common_tags(&self) -> Vec<&'a str> {
        let [first, others @ ..] = &self.rows[..] else { return Vec::new() };
        if others.is_empty() {
            return Vec::new();
        }
        let everywhere =
            |tag: &&str| others.iter().all(|row| row.context.tags.iter().any(|other| other == tag));
        first.context.tags.iter().map(String::as_str).filter(everywhere).collect()
    }
}

impl<'a> Row<'a> {
    fn of(context: &'a Context, entry: &'a Entry) -> Self {
        let value = |rank, text| Value { rank, text };
        let last = number(entry.last());
        let (kind, values) = match context.kind {
            Kind::Unspecified => ("?", vec![value(0, last)]),
            Kind::Gauge => ("gauge", vec![value(0, last)]),
            Kind::Count => {
                ("count", vec![value(1, last), value(0, format!("total {}", number(whole(entry.total))))])
            }
            Kind::Rate => (
                "rate",
                vec![
                    value(1, format!("{last}/s")),
                    value(0, format!("total {}", number(whole(entry.total)))),
                ],
            ),
            Kind::Distribution => {
                let sketch = &entry.sketch;
                let of = |label: &str, found: Option<f64>| {
                    format!("{label} {}", found.map_or_else(|| "·".to_owned(), number))
                };
                let values = vec![
                    value(2, format!("n {}", number(sketch.count as f64))),
                    value(0, of("p50", sketch.quantile(0.5))),
                    value(5, of("p75", sketch.quantile(0.75))),
                    value(1, of("p95", sketch.quantile(0.95))),
                    value(4, of("p99", sketch.quantile(0.99))),
                    value(3, of("max", (sketch.count > 0).then_some(sketch.max))),
                    value(6, of("avg", sketch.average())),
                ];
                ("dist", values)
            }
        };
        let from_zero = !matches!(context.kind, Kind::Gauge | Kind::Unspecified);
        Self { name: &context.name, context, kind, values, history: &entry.history, from_zero, contexts: 1 }
    }

    fn of_family(base: &'a str, context: &'a Context, entries: [&'a Entry; FAMILY.len()]) -> Self {
        let [average, median, p95, max, samples] = entries;
        let value = |rank, label: &str, value| Value { rank, text: format!("{label} {}", number(value)) };
        let values = vec![
            value(2, "n", whole(samples.total)),
            value(0, "median", median.last()),
            value(1, "p95", p95.last()),
            value(3, "max", max.last()),
            value(4, "avg", average.last()),
        ];
        let history = &p95.history;
        Self { name: base, context, kind: "hist", values, history, from_zero: true, contexts: FAMILY.len() }
    }

    /// Tags that are not said elsewhere, resources as tags, and the host where there are several.
    fn tags(&self, common: &[&str], hosts: bool) -> String {
        let own =
            self.context.tags.iter().filter(|tag| !common.contains(&tag.as_str())).map(|tag| clean(tag));
        let resources =
            self.context.resources.iter().map(|(kind, name)| format!("{}:{}", clean(kind), clean(name)));
        let host =
            (hosts && !self.context.host.is_empty()).then(|| format!("host:{}", clean(&self.context.host)));
        // No line shows more.
        own.chain(resources).chain(host).take(50).collect::<Vec<_>>().join(" ")
    }

    /// As many values as have room, in their order.
    fn fitted(&self, room: usize) -> String {
        let mut ranks: Vec<_> = self.values.iter().map(|value| value.rank).collect();
        model::order::sort(&mut ranks);
        loop {
            let worth = self.values.iter().filter(|value| ranks.contains(&value.rank));
            let text = worth.map(|value| value.text.as_str()).collect::<Vec<_>>().join("  ");
            if width(&text) <= room || ranks.len() <= 1 {
                return truncate(&text, room).into_owned();
            }
            ranks.pop();
        }
    }
}

/// Widths of the columns of a block.
struct Layout {
    name: usize,
    tags: usize,
    kind: bool,
    values: usize,
    spark: usize,
}

impl Layout {
    fn of(rows: &[Row<'_>], tags: &[String], total: usize) -> Self {
        let most = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let kind = total >= TYPE_FROM_WIDTH;
        let name = most(&mut rows.iter().map(|row| width(&clean(row.name)))).min(NAME_WIDTH_MAX);
        let tags = most(&mut tags.iter().map(|tags| width(tags)));
        let values = most(&mut rows.iter().map(|row| width(&row.fitted(usize::MAX))));
        let fixed = if kind { 2 + KIND_WIDTH } else { 0 };
        let named = name + if tags > 0 { 2 + tags } else { 0 };
        let spark = if total >= BAR_FROM_WIDTH {
            let left = total.saturating_sub(fixed + named + 2 + values + 2);
            let drawn = |row: &Row<'_>| {
                let columns = left.clamp(SPARK_WIDTH_MIN, SPARK_WIDTH_MAX);
                width(&sparkline(row.history, columns, row.from_zero))
            };
            most(&mut rows.iter().map(drawn))
        } else {
            0
        };
        let right = fixed + if spark > 0 { 2 + spark } else { 0 };
        // What tells contexts apart comes first, then the figures; some of each are always to be seen.
        let left = total.saturating_sub(right + 2 + named);
        let values = values.min(left.max(VALUES_WIDTH_MIN.min(total * 9 / 20)));
        let values = most(&mut rows.iter().map(|row| width(&row.fitted(values))));
        let room = total.saturating_sub(right + 2 + values);
        let name = name.min(if tags > 0 { room * 2 / 3 } else { room });
        Self { name, tags: tags.min(room.saturating_sub(name + 2)), kind, values, spark }
    }

    fn line(&self, tree: &Tree, row: &Row<'_>, tags: &str) -> String {
        let mut line = tree.paint.with(BOLD, &padded(&clean(row.name), self.name));
        let mut column = |code: &str, text: &str| {
            line.push_str("  ");
            line.push_str(&tree.paint.with(code, text));
        };
        if self.tags > 0 {
            let blank = " ".repeat(self.tags.saturating_sub(width(tags)));
            column(DIM, &format!("{}{blank}", truncate(tags, self.tags)));
        }
        if self.kind {
            column(DIM, &padded(row.kind, KIND_WIDTH));
        }
        column("", &padded(&row.fitted(self.values), self.values));
        if self.spark > 0 {
            column(SPARK, &sparkline(row.history, self.spark, row.from_zero));
        }
        format!("{}\n", line.trim_end())
    }
}

/// A sum of rates times their interval is off by a few roundings: what was a whole number is one again.
fn whole(sum: f64) -> f64 {
    let rounded = sum.round();
    if (sum - rounded).abs() <= 1e-9 * rounded.abs() { rounded } else { sum }
}

/// The latest values as bars, a column for each bucket, blank where there was none. One value makes no line.
fn sparkline(history: &VecDeque<(i64, f64)>, columns: usize, from_zero: bool) -> String {
    let Some((newest, _)) = history.back().filter(|_| history.len() > 1) else { return String::new() };
    let mut places = vec![None; columns];
    for (time, value) in history {
        let age = usize::try_from(newest.saturating_sub(*time) / SPARK_STEP_SECONDS).unwrap_or(usize::MAX);
        if let Some(place) = columns.checked_sub(1).and_then(|last| last.checked_sub(age)) {
            places[place] = Some(*value);
        }
    }
    let shown = || places.iter().flatten().copied();
    let low = shown().fold(if from_zero { 0.0 } else { f64::INFINITY }, f64::min);
    let high = shown().fold(if from_zero { 0.0 } else { f64::NEG_INFINITY }, f64::max);
    let level = |value: f64| match high - low {
        span if span > 0.0 => (((value - low) / span * 7.0).round() as usize).min(LEVELS.len() - 1),
        _ => {
            if from_zero {
                0
            } else {
                LEVELS.len() / 2
            }
        }
    };
    let line: String = places.iter().map(|place| place.map_or(' ', |value| LEVELS[level(value)])).collect();
    line.trim_start().to_owned()
}

/// The latest of `fresh` events.
fn events(tree: &Tree, store: &Store, fresh: u64, total: usize, out: &mut String) {
    let kept = store.latest.len().min(usize::try_from(fresh).unwrap_or(usize::MAX));
    if let Some(older) = fresh.checked_sub(kept as u64).filter(|older| *older > 0) {
        let text = format!("event  … {} before these", count(older, "more event"));
        out.push_str(&format!("{}\n", tree.paint.with(DIM, &text)));
    }
    for event in store.latest.iter().skip(store.latest.len() - kept) {
        let (symbol, code) = match event.alert_type.as_str() {
            "error" => ("✗", RED),
            "warning" => ("!", YELLOW),
            "success" => ("✓", GREEN),
            _ => ("◆", ""),
        };
        out.push_str(&told(tree, "event", symbol, code, &event_texts(event), &event.tags, total));
    }
}

fn event_texts(event: &Event) -> [String; 2] {
    [clean(&event.title), clean(&event.text)]
}

/// The states of the checks that are wanted.
fn checks(
    tree: &Tree,
    states: &BTreeMap<CheckKey, State>,
    wanted: impl Fn(&State) -> bool,
    total: usize,
    out: &mut String,
) {
    let mut more = 0_u64;
    for (place, ((name, _, tags), state)) in states.iter().filter(|(_, state)| wanted(state)).enumerate() {
        if place >= CHECKS_SHOWN_MAX {
            more += 1;
            continue;
        }
        let (symbol, code) = match state.status {
            Status::Ok => ("✓", GREEN),
            Status::Warning => ("!", YELLOW),
            Status::Critical => ("✗", RED),
            Status::Unknown => ("?", ""),
        };
        let texts = [format!("{} {}", clean(name), state.status.name()), clean(&state.message)];
        out.push_str(&told(tree, "check", symbol, code, &texts, tags, total));
    }
    if more > 0 {
        let text = format!("check  … and {}", count(more, "more check"));
        out.push_str(&format!("{}\n", tree.paint.with(DIM, &text)));
    }
}

/// A line about an event or a check.
fn told(
    tree: &Tree,
    what: &str,
    symbol: &str,
    code: &str,
    texts: &[String; 2],
    tags: &[String],
    total: usize,
) -> String {
    let [title, rest] = texts;
    let mut room = total.saturating_sub(what.len() + 4);
    let title = shorten(title, room);
    room = room.saturating_sub(width(&title));
    let mut line = format!("{}  {} ", tree.paint.with(DIM, what), tree.paint.with(code, symbol));
    line.push_str(&tree.paint.with(BOLD, &title));
    let tags = tags.iter().take(50).map(|tag| clean(tag)).collect::<Vec<_>>().join(" ");
    for (code, text) in [("", rest), (DIM, &tags)] {
        // Fewer columns say nothing.
        if !text.is_empty() && room >= 8 {
            let text = truncate(text, room - 2);
            room = room.saturating_sub(2 + width(&text));
            line.push_str(&format!("  {}", tree.paint.with(code, &text)));
        }
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn drawn(points: &[(i64, f64)], from_zero: bool) -> String {
        sparkline(&points.iter().copied().collect(), 8, from_zero)
    }

    #[test]
    fn a_sparkline_has_a_column_for_each_bucket_and_a_blank_where_there_was_none() {
        let points = [(0, 0.0), (10, 7.0), (20, 3.5), (50, 1.0)];
        assert_eq!(drawn(&points, true), "▁█▅  ▂");
        assert_eq!(drawn(&[(0, 5.0), (10, 6.0)], false), "▁█");
        assert_eq!(drawn(&[(0, -2.0), (10, 0.0), (20, 2.0)], true), "▁▅█");
    }

    #[test]
    fn a_flat_line_is_flat_and_one_value_is_none() {
        assert_eq!(drawn(&[(0, 5.0), (10, 5.0)], false), "▅▅");
        assert_eq!(drawn(&[(0, 0.0), (10, 0.0)], true), "▁▁");
        assert_eq!(drawn(&[(0, 5.0)], true), "");
        assert_eq!(drawn(&[], true), "");
    }

    #[test]
    fn a_sum_that_was_whole_is_whole_again_and_others_stay() {
        assert_eq!(whole(0.1 * 10.0 + 0.7 * 10.0), 8.0);
        assert_eq!(whole(123_456.000_000_001), 123_456.0);
        assert_eq!((whole(0.5), whole(0.0), whole(7.999), whole(1e-12)), (0.5, 0.0, 7.999, 1e-12));
    }

    proptest! {
        #[test]
        fn a_sparkline_of_anything_stays_within_its_columns(
            points in vec((any::<i64>(), any::<f64>().prop_filter("stored", |value| value.is_finite())), 0..70),
            columns in 0_usize..25,
            from_zero: bool,
        ) {
            let history = points.iter().copied().collect();
            prop_assert!(sparkline(&history, columns, from_zero).chars().count() <= columns);
        }
    }

    #[test]
    fn a_sparkline_shows_the_latest_that_fit_and_survives_any_time_and_value() {
        let long: Vec<_> = (0..60).map(|time| (time * 10, if time < 52 { 100.0 } else { 1.0 })).collect();
        assert_eq!(drawn(&long, false), "▅▅▅▅▅▅▅▅");
        let wild = [(i64::MIN, f64::MIN), (0, f64::MAX), (i64::MAX, f64::MIN)];
        assert_eq!(drawn(&wild, true).chars().count(), 1);
        assert_eq!(drawn(&[(0, f64::MIN), (10, f64::MAX), (20, 0.0)], false).chars().count(), 3);
    }
}
