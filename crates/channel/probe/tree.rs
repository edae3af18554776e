//! A process tree with one rendezvous.

use crate::fork::{ended_well, spawn};
use lastlight_channel::{
    Answer, Client, ClientCounts, ClientOptions, Flushing, NotTaken, Outgoing, Promote, Rendezvous, ServedBy,
    ServerOptions, Service, Serving, Settling, Submission,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bound of each wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Writes one line for each submission before it is accepted: `server's pid, key, length, sum of the bytes`. What is
/// written outlives the process.
pub(crate) struct Log {
    file: File,
    /// What does not settle with accepting; `None` where everything does.
    held: Option<Mutex<Vec<(Fate, Settling)>>>,
}

/// What becomes of a submission of [`keep`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    SettlesAtOnce,
    /// When somebody asks for statistics.
    SettlesLater,
    Never,
}

impl Fate {
    /// By the number after the key's dot.
    fn of(key: &str) -> Self {
        let number = key.rsplit('.').next().and_then(|number| number.parse().ok());
        match number.unwrap_or(0_usize) % 3 {
            0 => Self::SettlesAtOnce,
            1 => Self::SettlesLater,
            _ => Self::Never,
        }
    }
}

impl Log {
    pub(crate) fn open(path: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
        Self { file, held: None }
    }

    /// One that settles little.
    fn holding(path: &str) -> Self {
        Self { held: Some(Mutex::default()), ..Self::open(path) }
    }
}

impl Service for Log {
    fn submit(&self, submission: Submission<'_>) -> Answer {
        let key = submission.headers.get(b"key").unwrap_or_default();
        let sum = submission.payload.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let line = format!(
            "{} {} {} {sum} {}\n",
            std::process::id(),
            String::from_utf8_lossy(key),
            submission.payload.len(),
            if submission.resent { "resent" } else { "new" },
        );
        (&self.file).write_all(line.as_bytes()).expect("a line can be written");
        let fate = Fate::of(&String::from_utf8_lossy(key));
        if let Some(held) = self.held.as_ref().filter(|_| fate != Fate::SettlesAtOnce) {
            held.lock().expect("not poisoned").push((fate, submission.settling));
        }
        Answer::Accepted
    }

    fn stats(&self) -> String {
        if let Some(held) = &self.held {
            held.lock().expect("not poisoned").retain(|(fate, _)| *fate == Fate::Never);
        }
        String::new()
    }

    fn flush(&self, _deadline: Instant, flushing: Flushing) {
        flushing.done(true);
    }
}

fn start(rendezvous: &Arc<Rendezvous>, log: Log) -> Serving {
    let lock = rendezvous.try_serve().expect("nobody serves");
    Serving::start(lock, Arc::new(log), ServerOptions::default()).expect("a thread")
}

/// The server that a client's process became.
type Became = Arc<Mutex<Option<Serving>>>;

/// A client that may have its process serve, and where the server is then.
fn candidate(rendezvous: &Arc<Rendezvous>, log: &str) -> (Client, Became) {
    let path = log.to_owned();
    let became = Became::default();
    let place = Arc::clone(&became);
    let promote: Promote = Box::new(move |rendezvous| {
        // Unless another one was faster.
        if let Some(lock) = rendezvous.try_serve() {
            let log = Arc::new(Log::open(&path));
            let serving = Serving::start(lock, log, ServerOptions::default())?;
            *place.lock().expect("not poisoned") = Some(serving);
        }
        Ok(())
    });
    (Client::new(Arc::clone(rendezvous), ClientOptions::default(), Some(promote)), became)
}

fn serves(became: &Became) -> bool {
    became.lock().expect("not poisoned").as_ref().is_some_and(Serving::is_running)
}

fn stop(became: &Became) {
    let serving = became.lock().expect("not poisoned").take();
    serving.and_then(|serving| serving.stop(Instant::now() + WAIT_MAX));
}

/// Submits, with patience for want of room.
fn send(client: &mut Client, key: &str, length: usize) {
    let payload: Vec<u8> = (0..length).map(|at| (at * 7 + key.len()) as u8).collect();
    let outgoing = Outgoing { kind: 1, headers: &[(b"key", key.as_bytes())], payload: &payload };
    let end = Instant::now() + WAIT_MAX;
    loop {
        match client.submit(outgoing) {
            Ok(_) => return,
            Err(NotTaken::NoRoom { .. }) => assert!(Instant::now() < end, "there is no room for ever"),
            Err(other) => panic!("not taken: {other:?}"),
        }
        client.flush(Duration::from_millis(5));
    }
}

/// One write, so that lines of many processes stay whole.
fn say(text: &str) {
    std::io::stdout().write_all(format!("{text}\n").as_bytes()).ok();
}

fn say_counts(who: &str, counts: ClientCounts) {
    let ClientCounts { submitted, accepted, lost, resent, promoted, waiting, .. } = counts;
    let ClientCounts { taken_back, retained, unretained, .. } = counts;
    say(&format!(
        "{who} submitted={submitted} accepted={accepted} lost={lost} waiting={waiting} resent={resent} promoted={promoted} \
         taken_back={taken_back} retained={retained} unretained={unretained}"
    ));
}

/// What processes of a tree wait for: a byte, or that the other side closes.
struct Gate(PipeReader, Option<PipeWriter>);

impl Gate {
    fn new() -> Self {
        let (reader, writer) = pipe().expect("a pipe");
        Self(reader, Some(writer))
    }

    fn tell(&self) {
        self.1.as_ref().expect("open").write_all(b"x").expect("somebody reads");
    }

    /// Whether a byte is there; it stays, for all others.
    fn is_told(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)) == Ok(1)
    }

    fn wait(&mut self) {
        let bound = Timespec { tv_sec: 2 * WAIT_MAX.as_secs().cast_signed(), tv_nsec: 0 };
        let came = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&bound));
        assert_eq!(came, Ok(1), "a byte comes");
        self.0.read_exact(&mut [0]).expect("a byte comes");
    }
}

/// `tree LOG CHILDREN EACH BYTES OWNER`: the top forks an owner, which binds, serves unless `OWNER` is `dies`, settling little
/// if it is `holds`, and forks
/// children one by one, each connected before the next is forked, so that the later ones inherit the server's ends of the
/// earlier ones' connections. The children send half of `EACH` submissions, go on until the top has killed the owner, and
/// send the other half. Who becomes the server stays until all have sent everything.
pub(crate) fn run(arguments: &[&str]) {
    let [log, children, each, bytes, mode] = arguments else { panic!("five arguments") };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (children, each, bytes) = (number(children), number(each), number(bytes));
    let owner_serves = *mode != "dies";
    let open = if *mode == "holds" { Log::holding } else { Log::open };
    let (mut ready, mut half, mut sent, mut over) = (Gate::new(), Gate::new(), Gate::new(), Gate::new());
    let (mut go, mut connected, killed) = (Gate::new(), Gate::new(), Gate::new());
    let owner = spawn(|| {
        let rendezvous = Rendezvous::bind().expect("a name");
        let serving = owner_serves.then(|| start(&rendezvous, open(log)));
        for index in 0..children {
            spawn(|| {
                let (mut client, became) = candidate(&rendezvous, log);
                if owner_serves {
                    assert!(client.ping(WAIT_MAX), "the owner serves");
                }
                connected.tell();
                go.wait();
                let mut number = 0;
                let mut send_one = |client: &mut Client| {
                    send(client, &format!("{index}.{number}"), bytes);
                    number += 1;
                };
                (0..each / 4).for_each(|_| send_one(&mut client));
                // The owner has accepted some, and more is on its way when it is killed.
                assert!(!owner_serves || client.flush(WAIT_MAX));
                (0..each / 4).for_each(|_| send_one(&mut client));
                half.tell();
                while !killed.is_told() {
                    send_one(&mut client);
                }
                (0..each / 2).for_each(|_| send_one(&mut client));
                let mut is_done = client.flush(Duration::from_millis(1));
                let end = Instant::now() + WAIT_MAX;
                while !is_done && Instant::now() < end {
                    is_done = client.flush(Duration::from_secs(2));
                }
                sent.tell();
                // Who serves does so until all have sent everything.
                over.wait();
                if serves(&became) {
                    say(&format!("serving {}", std::process::id()));
                }
                say_counts(&format!("child {index}"), client.close(WAIT_MAX));
                stop(&became);
            });
            connected.wait();
        }
        ready.tell();
        // Until it is killed; never longer than a test.
        over.wait();
        drop(serving);
    });
    ready.wait();
    (0..children).for_each(|_| go.tell());
    (0..children).for_each(|_| half.wait());
    kill(owner, Signal::SIGKILL).expect("the owner lives");
    ended_well(owner);
    killed.tell();
    (0..children).for_each(|_| sent.wait());
    (0..=children).for_each(|_| over.tell());
    // The children are orphans; their output is what the test waits for.
}

/// `relay LOG CLIENTS EACH BYTES SERVERS`: clients send, at least `EACH`, while one server after the other is killed but for
/// the last. None of the clients may serve.
pub(crate) fn relay(arguments: &[&str]) {
    let [log, clients, each, bytes, servers] = arguments else { panic!("five arguments") };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (clients, each, bytes, servers) = (number(clients), number(each), number(bytes), number(servers));
    let rendezvous = Rendezvous::bind().expect("a name");
    let (mut over, enough) = (Gate::new(), Gate::new());
    let candidates: Vec<_> = (0..servers)
        .map(|_| {
            spawn(|| {
                let lock = rendezvous.wait_to_serve(Instant::now() + WAIT_MAX).expect("the others die");
                let log = Arc::new(Log::open(log));
                let serving = Serving::start(lock, log, ServerOptions::default()).expect("a thread");
                over.wait();
                serving.stop(Instant::now() + WAIT_MAX);
            })
        })
        .collect();
    let senders: Vec<_> = (0..clients)
        .map(|index| {
            spawn(|| {
                let mut client = Client::new(Arc::clone(&rendezvous), ClientOptions::default(), None);
                let mut number = 0;
                while number < each || !enough.is_told() {
                    send(&mut client, &format!("{index}.{number}"), bytes);
                    number += 1;
                }
                say_counts(&format!("child {index}"), client.close(WAIT_MAX));
            })
        })
        .collect();
    // In mid-stream: it has accepted some.
    let serves = || {
        let ServedBy::Other(server) = rendezvous.server() else { return None };
        let text = std::fs::read_to_string(log).ok()?;
        let accepted = text.lines().filter(|line| line.starts_with(&format!("{server} "))).count();
        (accepted >= each / servers).then_some(server)
    };
    let wait_for = || {
        let end = Instant::now() + WAIT_MAX;
        loop {
            if let Some(server) = serves() {
                return server;
            }
            assert!(Instant::now() < end, "nothing is accepted any more");
            std::thread::yield_now();
        }
    };
    for _ in 1..servers {
        let server = wait_for();
        kill(Pid::from_raw(server), Signal::SIGKILL).expect("the server lives");
        say(&format!("killed {server}"));
        let died = Instant::now();
        while !matches!(rendezvous.server(), ServedBy::Other(other) if other != server) {
            assert!(died.elapsed() < WAIT_MAX, "nobody serves");
            std::thread::yield_now();
        }
        say(&format!("replaced_after_us {}", died.elapsed().as_micros()));
    }
    wait_for();
    enough.tell();
    let all_sent = senders.into_iter().all(ended_well);
    over.tell();
    let survivors = candidates.into_iter().filter(|server| ended_well(*server)).count();
    say(&format!("over all_sent={all_sent} survivors={survivors}"));
}

/// `keep LOG CLIENTS EACH BYTES ENDING`: a server that settles little, as the number of each key says, and another one that waits
/// to serve. When clients have been answered and told what has settled, each forks a child that goes on with a copy of its
/// client, and the first server is stopped, or killed, or killed and survived by a child of it that has all its descriptors, as
/// `ENDING` says: `stopped`, `killed`, `survived`. In the last case the clients say nothing more, and close. The second server
/// settles at once.
pub(crate) fn keep(arguments: &[&str]) {
    let [log, clients, each, bytes, ending] = arguments else { panic!("five arguments") };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (clients, each, bytes) = (number(clients), number(each), number(bytes));
    let kept = (0..each).filter(|number| Fate::of(&number.to_string()) == Fate::Never).count() as u64;
    let rendezvous = Rendezvous::bind().expect("a name");
    let survived = *ending == "survived";
    let (mut stop_first, mut over) = (Gate::new(), Gate::new());
    let (mut fork_child, mut forked) = (Gate::new(), Gate::new());
    let (mut sent, mut ask, mut told, mut ended) = (Gate::new(), Gate::new(), Gate::new(), Gate::new());
    let first = spawn(|| {
        let serving = start(&rendezvous, Log::holding(log));
        fork_child.wait();
        let mut serving = Some(serving);
        if survived {
            // It ends with the others' descriptor of the gate, not with its parent.
            spawn(|| {
                std::mem::forget(serving.take());
                forked.tell();
                over.wait();
            });
        } else {
            forked.tell();
        }
        stop_first.wait();
        let serving = serving.take().expect("ours");
        assert!(serving.stop(Instant::now() + WAIT_MAX).is_some_and(|stopped| stopped.in_time));
    });
    while rendezvous.server() == ServedBy::Nobody {
        std::thread::yield_now();
    }
    let second = spawn(|| {
        let lock = rendezvous.wait_to_serve(Instant::now() + WAIT_MAX).expect("the first one ends");
        let serving =
            Serving::start(lock, Arc::new(Log::open(log)), ServerOptions::default()).expect("a thread");
        over.wait();
        drop(serving);
    });
    let senders: Vec<_> = (0..clients)
        .map(|index| {
            spawn(|| {
                let mut own = Client::new(Arc::clone(&rendezvous), ClientOptions::default(), None);
                (0..each).for_each(|number| send(&mut own, &format!("{index}.{number}"), bytes));
                assert!(own.settle(WAIT_MAX));
                sent.tell();
                ask.wait();
                assert!(own.stats(WAIT_MAX).is_some());
                let end = Instant::now() + WAIT_MAX;
                while own.counts().retained != kept {
                    assert!(Instant::now() < end, "it is not told: {:?}", own.counts());
                    own.pump();
                }
                let mut own = Some(own);
                let child = spawn(|| {
                    let mut own = own.take().expect("a copy");
                    assert_eq!(own.counts(), ClientCounts::default());
                    send(&mut own, &format!("{index}.{each}"), bytes);
                    assert!(own.settle(WAIT_MAX));
                    say_counts("child", own.close(WAIT_MAX));
                });
                assert!(ended_well(child), "the child failed");
                told.tell();
                ended.wait();
                let mut own = own.take().expect("ours");
                if !survived {
                    send(&mut own, &format!("{index}.{}", each + 1), bytes);
                    assert!(own.flush(WAIT_MAX));
                }
                say_counts("client", own.close(WAIT_MAX));
            })
        })
        .collect();
    (0..clients).for_each(|_| sent.wait());
    (0..clients).for_each(|_| ask.tell());
    (0..clients).for_each(|_| told.wait());
    fork_child.tell();
    forked.wait();
    if *ending == "stopped" {
        stop_first.tell();
    } else {
        kill(first, Signal::SIGKILL).expect("the server lives");
    }
    ended_well(first);
    say(&format!("first {first}"));
    (0..clients).for_each(|_| ended.tell());
    assert!(senders.into_iter().all(ended_well), "a client failed");
    (0..2).for_each(|_| over.tell());
    assert!(ended_well(second), "the second server failed");
}

/// `closed`: a host closes a descriptor that is not its own, and opens a file in its place.
pub(crate) fn closed() {
    let rendezvous = Rendezvous::bind().expect("a name");
    let number = rendezvous.listener().as_raw_fd();
    nix::unistd::close(number).expect("open");
    // One that can be locked for writing.
    let file = OpenOptions::new().write(true).open("/dev/null").expect("a file");
    assert_eq!(file.as_raw_fd(), number, "the lowest number that is free");
    let mut client = Client::new(Arc::clone(&rendezvous), ClientOptions::default(), None);
    assert!(client.submit(Outgoing { kind: 1, headers: &[], payload: b"x" }).is_ok());
    assert!(rendezvous.try_serve().is_none(), "nobody serves over a stranger's file");
    assert!(!client.connect(Duration::from_millis(20)));
    say(&format!("{:?}", client.last_trouble()));
    // What would be closed with them is not theirs any more.
    std::mem::forget((client, rendezvous, file));
}

/// `parent LOG`: a process serves and sends, forks a child that sends over the same client, and both close. The child
/// lives on after that.
pub(crate) fn parent_and_child(arguments: &[&str]) {
    let log = arguments[0];
    let rendezvous = Rendezvous::bind().expect("a name");
    assert!(rendezvous.is_owner());
    let mut serving = Some(start(&rendezvous, Log::open(log)));
    let (shared, became) = candidate(&rendezvous, log);
    let mut shared = Some(shared);
    let own = shared.as_mut().expect("ours");
    send(own, "parent.0", 100);
    assert!(own.flush(WAIT_MAX));
    // On its way, or waiting, when the process forks.
    for number in 1..30 {
        send(own, &format!("parent.{number}"), if number % 5 == 0 { 100_000 } else { 100 });
    }
    let (mut connected, mut over) = (Gate::new(), Gate::new());
    let child = spawn(|| {
        let (mut shared, serving) = (shared.take().expect("a copy"), serving.take().expect("a copy"));
        assert!(!rendezvous.is_owner());
        assert!(matches!(rendezvous.server(), ServedBy::Other(_)), "the parent serves");
        assert_eq!(shared.counts(), ClientCounts::default());
        for number in 0..30 {
            send(&mut shared, &format!("child.{number}"), if number % 5 == 0 { 100_000 } else { 100 });
        }
        assert!(shared.flush(WAIT_MAX));
        assert!(!serving.is_running(), "the parent's server is not the child's");
        connected.tell();
        over.wait();
        // The parent has stopped; the child serves itself.
        send(&mut shared, "child.after", 100);
        assert!(shared.flush(WAIT_MAX));
        assert!(serves(&became));
        say_counts("child", shared.close(WAIT_MAX));
        stop(&became);
        assert!(serving.stop(Instant::now() + WAIT_MAX).is_none());
    });
    let (mut shared, serving) = (shared.take().expect("ours"), serving.take().expect("ours"));
    for number in 30..60 {
        send(&mut shared, &format!("parent.{number}"), 100);
    }
    connected.wait();
    let began = Instant::now();
    say_counts("parent", shared.close(WAIT_MAX));
    let stopped = serving.stop(Instant::now() + WAIT_MAX).expect("our server");
    say(&format!("stopped in_time={} ms={}", stopped.in_time, began.elapsed().as_millis()));
    over.tell();
    assert!(ended_well(child), "the child failed");
}

/// `pools LOG`: a master that serves, and two workers each of two other users, as PHP-FPM has them. Half way the master is
/// killed, and a worker serves the others.
pub(crate) fn pools(arguments: &[&str]) {
    let log = arguments[0];
    // For workers of any user, who append to it.
    drop(Log::open(log));
    let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(log, anyone).expect("our file");
    let (mut half, mut go, mut sent, mut over) = (Gate::new(), Gate::new(), Gate::new(), Gate::new());
    let master = spawn(|| {
        let rendezvous = Rendezvous::bind().expect("a name");
        let _serving = start(&rendezvous, Log::open(log));
        for (index, user) in [65_534, 65_534, 33, 33].into_iter().enumerate() {
            spawn(|| {
                nix::unistd::setgid(user.into()).expect("root may");
                nix::unistd::setuid(user.into()).expect("root may");
                let (mut client, became) = candidate(&rendezvous, log);
                (0..10).for_each(|number| send(&mut client, &format!("{index}.{number}"), 70_000));
                assert!(client.flush(WAIT_MAX), "{:?}", client.last_trouble());
                half.tell();
                go.wait();
                (10..20).for_each(|number| send(&mut client, &format!("{index}.{number}"), 70_000));
                assert!(client.flush(WAIT_MAX), "{:?}", client.last_trouble());
                sent.tell();
                over.wait();
                say_counts(&format!("worker {index}"), client.close(WAIT_MAX));
                stop(&became);
            });
        }
        over.wait();
    });
    (0..4).for_each(|_| half.wait());
    kill(master, Signal::SIGKILL).expect("the master lives");
    ended_well(master);
    (0..4).for_each(|_| go.tell());
    (0..4).for_each(|_| sent.wait());
    (0..5).for_each(|_| over.tell());
}
