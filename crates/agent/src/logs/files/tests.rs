use super::*;
use crate::logging::SayOnce;
use crate::logs::LogsSettings;
use crate::packing::Packing;
use crate::room::Budget;
use lifecycle::{Deadline, End, Instant, Stack};
use model::Books;
use pipeline::logs::{Grouping, LogRules};
use proptest::prelude::*;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::num::NonZeroU32;
use tempfile::TempDir;

const SECOND_NS: i64 = 1_000_000_000;
const MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// A folder, and whoever follows its files.
struct World {
    folder: TempDir,
    pattern: String,
    hub: Arc<Logs>,
    books: Books,
    follower: Follower,
    now_ns: i64,
}

fn hub(memory_bytes: usize, grouping: Grouping) -> (Arc<Logs>, Books) {
    let settings = LogsSettings {
        hostname: String::new(),
        service: String::new(),
        source: "test".into(),
        rules: LogRules::new(&[]),
        grouping,
        batch_wait: Duration::from_secs(5),
        packing: Packing::Plain,
    };
    let books = Books::default();
    let say = Arc::new(SayOnce::default());
    (Arc::new(Logs::new(settings, &books, Budget::new(memory_bytes), say)), books)
}

impl World {
    fn new(pattern: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pattern = format!("{}/{pattern}", folder.path().display());
        let (hub, books) = hub(MEMORY_BYTES, Grouping::Off);
        let files = FilePattern { pattern: pattern.clone(), positions: None };
        let follower = Follower::new(Arc::clone(&hub), files);
        Self { folder, pattern, hub, books, follower, now_ns: SECOND_NS }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Looks until nothing is new, two seconds later each time; what was said since the last call.
    fn look(&mut self) -> Vec<String> {
        self.turns();
        self.said()
    }

    fn turns(&mut self) {
        self.now_ns += 2 * SECOND_NS;
        while self.follower.turn(self.now_ns) != Turn::default() {}
    }

    /// The messages accepted since the last call, delivered.
    fn said(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    fn entries(&self) -> Vec<Value> {
        let mut hot = self.hub.lock();
        let mut entries = Vec::new();
        while let Some(batch) = hot.outbox.pop(true) {
            hot.receipt.take(batch.samples()).delivered();
            let texts = batch.entries().map(|entry| format!("{}\"}}", str::from_utf8(entry).unwrap()));
            entries.extend(texts.map(|text| serde_json::from_str::<Value>(&text).unwrap()));
        }
        hot.room.shrink_to(0);
        entries
    }

    /// A stop of the stage.
    fn stop(&mut self) {
        self.follower.begin_end();
        while self.follower.turn(self.now_ns) != Turn::default() {}
        self.follower.end(self.now_ns);
    }

    /// A new process; what the one before had not saved is gone.
    fn start(&mut self) {
        let files = FilePattern { pattern: self.pattern.clone(), positions: None };
        self.follower = Follower::new(Arc::clone(&self.hub), files);
    }

    fn positions(&self) -> PathBuf {
        let name =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(".lastlight-positions");
        let mut entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.find(name).unwrap()
    }
}

#[test]
fn files_are_read_from_their_beginning_and_as_they_grow() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\ntwo\nthr");
    world.append("b.txt", "not this\n");
    assert_eq!(world.look(), ["one", "two"]);
    world.append("a.log", "ee\n");
    world.append("b.log", "new\n");
    let mut said = world.look();
    said.sort();
    assert_eq!(said, ["new", "three"]);
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn a_log_bears_the_name_and_the_folder_of_its_file() {
    let mut world = World::new("*.log");
    world.append("a,b.log", "x\n");
    world.turns();
    let entries = world.entries();
    let folder = world.folder.path().display();
    assert_eq!(entries[0]["ddtags"], format!("filename:a_b.log,dirname:{folder}").as_str());
    assert_eq!((&entries[0]["ddsource"], &entries[0]["status"]), (&"test".into(), &"info".into()));
}

#[test]
fn a_file_that_was_renamed_is_read_to_its_end_before_the_one_that_has_its_name() {
    let mut world = World::new("app.log");
    world.append("app.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    world.append("app.log", "2\n");
    world.rename("app.log", "app.log.1");
    world.append("app.log.1", "3\n");
    world.append("app.log", "4\n");
    assert_eq!(world.look(), ["2", "3", "4"]);
    world.append("app.log.1", "5 of a writer who has not noticed\n");
    world.append("app.log", "6\n");
    let mut said = world.look();
    said.sort();
    assert_eq!(said, ["5 of a writer who has not noticed", "6"]);
    world.now_ns += nanos(LEFT_WAIT);
    assert_eq!(world.look(), [""; 0]);
    assert_eq!(world.follower.files.len(), 1, "what is silent is closed");
}

#[test]
fn a_file_renamed_to_what_the_pattern_matches_is_not_read_again() {
    let mut world = World::new("app.log*");
    world.append("app.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    for number in 2..5 {
        world.rename("app.log", &format!("app.log.{number}"));
        world.append("app.log", &format!("{number}\n"));
        assert_eq!(world.look(), [number.to_string()]);
    }
    world.stop();
    world.start();
    assert_eq!(world.look(), [""; 0]);
    assert_eq!(world.follower.files.len(), 4);
}

#[test]
fn a_file_that_was_emptied_is_read_from_its_beginning() {
    let mut world = World::new("app.log");
    world.append("app.log", "1\n2 unterminated");
    assert_eq!(world.look(), ["1"]);
    fs::write(world.path("app.log"), "").unwrap();
    assert_eq!(world.look(), ["2 unterminated"]);
    world.append("app.log", "3\n");
    assert_eq!(world.look(), ["3"]);
    fs::write(world.path("app.log"), "4, longer than what was there before\n").unwrap();
    assert_eq!(world.look(), ["4, longer than what was there before"]);
}

#[test]
fn a_hole_before_what_is_written_behind_the_end_of_an_emptied_file_says_nothing() {
    let mut world = World::new("app.log");
    let mut writer = fs::File::create(world.path("app.log")).unwrap();
    writer.write_all(b"1\n22\n").unwrap();
    assert_eq!(world.look(), ["1", "22"]);
    OpenOptions::new().write(true).open(world.path("app.log")).unwrap().set_len(0).unwrap();
    writer.write_all(b"333\n").unwrap();
    assert_eq!(world.look(), ["333"]);
    world.stop();
    world.start();
    writer.write_all(b"4444\n").unwrap();
    assert_eq!(world.look(), ["4444"]);
}

#[test]
fn l89_the_last_line_of_a_file_is_sent_at_the_end_though_its_newline_never_came() {
    let mut world = World::new("*.log");
    world.append("a.log", "one\ntwo");
    assert_eq!(world.look(), ["one"]);
    world.append("a.log", " and");
    world.stop();
    assert_eq!(world.said(), ["two and"]);
    world.start();
    world.append("a.log", " more\n");
    assert_eq!(world.look(), [" more"], "neither repeated nor skipped");
}

#[test]
fn l90_what_files_say_up_to_the_stop_is_taken_before_the_logs_are_flushed() {
    let mut world = World::new("*.log");
    let lines: Vec<String> = (0..100_000).map(|number| format!("line {number} of a short job")).collect();
    world.append("a.log", &(lines.join("\n") + "\n"));
    // Nobody has looked yet.
    world.follower.begin_end();
    let mut said = Vec::new();
    loop {
        let turn = world.follower.turn(world.now_ns);
        said.extend(world.said());
        if turn == Turn::default() {
            break;
        }
    }
    world.follower.end(world.now_ns);
    assert_eq!(said, lines);
    let book = world.books.book(Signal::Logs);
    assert_eq!((book.accepted, book.delivered), (100_000, 100_000));
}

#[test]
fn what_is_written_after_the_stop_began_waits_for_the_next_start() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n2 in");
    world.follower.begin_end();
    world.append("a.log", " two pieces\n");
    assert_eq!(world.look(), ["1"]);
    world.follower.end(world.now_ns);
    assert_eq!(world.said(), [""; 0]);
    world.start();
    assert_eq!(world.look(), ["2 in two pieces"]);
}

#[test]
fn l103_a_crash_while_positions_are_written_leaves_those_from_before() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    let positions = world.positions();
    // What a process leaves that ends in the middle of writing.
    let mut beside = positions.clone().into_os_string();
    beside.push(".new");
    fs::write(&beside, "lastlight-offsets 1\n1 2").unwrap();
    world.append("a.log", "2\n");
    world.start();
    assert_eq!(world.look(), ["2"]);
    assert!(!Path::new(&beside).exists(), "it is replaced with the next change");
}

#[test]
fn l103_damaged_positions_repeat_rather_than_skip() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n2\n");
    assert_eq!(world.look(), ["1", "2"]);
    let positions = world.positions();
    let text = fs::read_to_string(&positions).unwrap();
    fs::write(&positions, &text[..text.len() - 5]).unwrap();
    world.start();
    assert_eq!(world.look(), ["1", "2"]);
    world.start();
    assert_eq!(world.look(), [""; 0], "they are good again");
}

#[test]
fn l104_instances_on_a_shared_volume_keep_to_their_own_files_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let follow = |instance: &str| {
        let (hub, books) = hub(MEMORY_BYTES, Grouping::Off);
        let pattern = format!("{}/*{instance}*.log", folder.path().display());
        let follower = Follower::new(Arc::clone(&hub), FilePattern { pattern, positions: None });
        (follower, hub, books)
    };
    for name in ["2026_host1_docker.log", "2026_host2_docker.log"] {
        fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
    }
    let accepted = |books: &Books| books.book(Signal::Logs).accepted;
    for round in [1, 0] {
        for instance in ["host1", "host2"] {
            let (mut follower, _hub, books) = follow(instance);
            follower.turn(SECOND_NS);
            assert_eq!(accepted(&books), round, "{instance}");
        }
    }
}

#[test]
fn positions_are_written_when_they_changed_and_not_more_often_than_said() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n");
    world.follower.turn(world.now_ns);
    let path = world.positions();
    let first = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    world.look();
    assert!(!path.exists(), "nothing changed");
    world.append("a.log", "2\n");
    world.follower.turn(world.now_ns + SECOND_NS);
    assert!(!path.exists(), "too early");
    world.look();
    assert_ne!(fs::read_to_string(&path).unwrap(), first);
}

#[test]
fn where_positions_cannot_be_kept_files_are_followed_all_the_same() {
    let mut world = World::new("*.log");
    let positions = Some(world.path("nowhere/positions"));
    world.follower =
        Follower::new(Arc::clone(&world.hub), FilePattern { pattern: world.pattern.clone(), positions });
    world.append("a.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    world.append("a.log", "2\n");
    assert_eq!(world.look(), ["2"]);
    fs::create_dir(world.path("nowhere")).unwrap();
    world.look();
    assert!(world.path("nowhere/positions").exists(), "it is tried again");
}

#[test]
fn without_room_files_wait_and_nothing_is_dropped() {
    let mut world = World::new("*.log");
    let (small, books) = hub(model::limits::MEMORY_MIN_BYTES, Grouping::Off);
    (world.hub, world.books) = (Arc::clone(&small), books);
    world.start();
    world.append("a.log", &"x\n".repeat(200_000));
    let mut count = 0;
    let mut waits = 0;
    loop {
        let turn = world.follower.turn(world.now_ns);
        count += world.said().len();
        waits += usize::from(turn.full);
        if turn == Turn::default() {
            break;
        }
    }
    assert_eq!(count, 200_000);
    assert!(waits > 2, "{waits}");
    let book = world.books.book(Signal::Logs);
    assert_eq!((book.accepted, book.delivered), (200_000, 200_000));
}

#[test]
fn the_newest_files_are_followed_where_there_are_too_many() {
    let mut world = World::new("*.log");
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for number in 0..FILES_MAX_COUNT + 10 {
        let name = format!("{number:04}.log");
        world.append(&name, &format!("{number:04}\n"));
        let file = OpenOptions::new().append(true).open(world.path(&name)).unwrap();
        file.set_modified(start + Duration::from_secs(number as u64)).unwrap();
    }
    let mut said = world.look();
    said.sort();
    assert_eq!((said.len(), said[0].as_str()), (FILES_MAX_COUNT, "0010"));
    // An old one that is written to takes the place of the oldest, which is read on later where it was left.
    world.append("0003.log", "again\n");
    assert_eq!(world.look(), ["0003", "again"]);
    assert_eq!(world.follower.files.len(), FILES_MAX_COUNT);
    world.append("0010.log", "too\n");
    assert_eq!(world.look(), ["too"]);
}

#[test]
fn compressed_files_are_left_alone() {
    let mut world = World::new("app.log*");
    fs::write(world.path("app.log.1.gz"), [0x1F, 0x8B, 8, 0, b'\n', b'x', b'\n']).unwrap();
    world.append("app.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    assert_eq!(world.look(), [""; 0]);
    assert_eq!(world.follower.files.len(), 1);
}

#[test]
fn a_file_that_was_removed_is_read_to_its_end_and_closed() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    world.append("a.log", "2\n3");
    fs::remove_file(world.path("a.log")).unwrap();
    assert_eq!(world.look(), ["2"]);
    world.now_ns += nanos(LEFT_WAIT);
    assert_eq!(world.look(), ["3"]);
    assert!(world.follower.files.is_empty());
    world.append("a.log", "4\n");
    assert_eq!(world.look(), ["4"]);
}

#[test]
fn what_was_renamed_while_nobody_looked_is_found_in_its_folder() {
    let mut world = World::new("app.log");
    world.append("app.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    world.stop();
    world.append("app.log", "2\n");
    world.rename("app.log", "app.log.1");
    world.append("app.log", "3\n");
    world.start();
    assert_eq!(world.look(), ["2", "3"]);
    world.stop();
    world.start();
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn links_to_files_are_followed_and_each_file_once() {
    let mut world = World::new("*.log");
    world.append("elsewhere", "1\n");
    fs::hard_link(world.path("elsewhere"), world.path("b.log")).unwrap();
    fs::hard_link(world.path("elsewhere"), world.path("a.log")).unwrap();
    fs::create_dir(world.path("folder.log")).unwrap();
    assert_eq!(world.look(), ["1"]);
    fs::remove_file(world.path("a.log")).unwrap();
    world.append("elsewhere", "2\n");
    assert_eq!(world.look(), ["2"]);
    world.stop();
    world.start();
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn positions_are_no_logs_wherever_they_are_kept() {
    let mut world = World::new("*");
    world.append("a.log", "1\n");
    assert_eq!(world.look(), ["1"]);
    assert_eq!(world.look(), [""; 0]);
    // Of another follower, or under another spelling of its path.
    fs::copy(world.positions(), world.path("b.log")).unwrap();
    assert_eq!(world.look(), [""; 0]);
}

#[tokio::test]
async fn l90_a_stop_takes_what_was_never_looked_at_and_the_last_line() {
    let mut world = World::new("*.log");
    world.append("a.log", "1\n2");
    let (hub, files) =
        (Arc::clone(&world.hub), FilePattern { pattern: world.pattern.clone(), positions: None });
    let mut stack = Stack::default();
    stack.push("log files", NonZeroU32::MIN, |close| Follower::run(hub, files, close));
    // A bound, not a wait.
    let ends = stack.unwind(Deadline::at(Instant::now() + Duration::from_secs(60)), || {}).await;
    assert_eq!(ends[0].end, End::Drained);
    assert_eq!(world.said(), ["1", "2"]);
    world.start();
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn l103_a_line_that_waited_for_the_next_one_in_a_crash_is_read_again() {
    let mut world = World::new("*.log");
    (world.hub, world.books) = hub(MEMORY_BYTES, Grouping::Automatic);
    world.start();
    world.append("a.log", "1\nTraceback (most recent call last):\n  File \"x\"");
    assert_eq!(world.look(), ["1"]);
    world.append("a.log", ", line 1\nError: 2\n");
    world.start();
    world.stop();
    assert_eq!(world.said(), ["Traceback (most recent call last):\n  File \"x\", line 1\nError: 2"]);
    world.start();
    world.stop();
    assert_eq!(world.said(), [""; 0]);
}

/// What happens to a log file.
#[derive(Clone, Debug)]
enum Event {
    /// So many lines are appended.
    Append(u8),
    /// Renamed, and made anew.
    Rotate,
    /// Emptied, after everything was read.
    Truncate,
    /// The follower looks.
    Look,
    /// Stopped in order and started.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_u8..40).prop_map(Event::Append),
        2 => Just(Event::Rotate),
        1 => Just(Event::Truncate),
        3 => Just(Event::Look),
        2 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With a pattern that reaches what was renamed, in any order and number; without, as long as somebody looks
    /// between two renames.
    #[test]
    fn l103_nothing_is_repeated_or_skipped_over_rotations_and_restarts(
        events in prop::collection::vec(event(), 0..30), is_wide in any::<bool>(),
    ) {
        let mut world = World::new(if is_wide { "app.log*" } else { "app.log" });
        let (mut written, mut said, mut renamed) = (Vec::new(), Vec::new(), 0);
        // Nobody has looked at what has the name now.
        let mut is_fresh = true;
        world.append("app.log", "");
        for event in events {
            match event {
                Event::Append(lines) => for _ in 0..lines {
                    let line = format!("line {}", written.len());
                    world.append("app.log", &format!("{line}\n"));
                    written.push(line);
                },
                Event::Rotate if is_wide || !is_fresh => {
                    renamed += 1;
                    world.rename("app.log", &format!("app.log.{renamed}"));
                    world.append("app.log", "");
                    is_fresh = true;
                }
                Event::Rotate => {}
                Event::Truncate => {
                    said.extend(world.look());
                    is_fresh = false;
                    fs::write(world.path("app.log"), "").unwrap();
                }
                Event::Look => {
                    said.extend(world.look());
                    is_fresh = false;
                }
                Event::Restart => {
                    world.stop();
                    said.extend(world.said());
                    world.start();
                    is_fresh = false;
                }
            }
        }
        said.extend(world.look());
        // Files are read in turns, so that the order holds within each of them.
        said.sort_by_key(|line| line["line ".len()..].parse::<usize>().unwrap());
        prop_assert_eq!(said, written);
    }

    /// What a crash costs is what was read since the last save, once more.
    #[test]
    fn l103_a_crash_repeats_and_never_skips(events in prop::collection::vec(event(), 0..30)) {
        let mut world = World::new("app.log*");
        let (mut written, mut said, mut renamed) = (0, BTreeSet::new(), 0);
        world.append("app.log", "");
        for event in events {
            match event {
                Event::Append(lines) => for _ in 0..lines {
                    world.append("app.log", &format!("{written}\n"));
                    written += 1;
                },
                Event::Rotate => {
                    renamed += 1;
                    world.rename("app.log", &format!("app.log.{renamed}"));
                    world.append("app.log", "");
                }
                Event::Truncate | Event::Look => {
                    world.now_ns += SECOND_NS / 4;
                    world.follower.turn(world.now_ns);
                    said.extend(world.said());
                }
                Event::Restart => world.start(),
            }
        }
        said.extend(world.look());
        prop_assert_eq!(said, (0..written).map(|line: usize| line.to_string()).collect::<BTreeSet<_>>());
    }
}
