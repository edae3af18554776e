//! Files that are followed: `DD_SERVERLESS_LOG_PATH` and the files of an App Service instance
//! (`facts/platforms.md` §6, §8; `facts/entrypoint.md` §1.4).
//!
//! They are looked at time and again. What the system would notify of says nothing of a shared volume that another
//! machine writes to, which is where App Service has them, needs a bound of its own on what is watched, and misses what
//! was there before.
//!
//! **What a position promises.** It is saved up to the last log that was let go: accepted, left out by a rule, or
//! counted as dropped. A line that waits for its end, or for the next one, is read again. After a stop, nothing is
//! repeated and nothing skipped. After a crash, what was read since the last save ([`SAVE_INTERVAL`]) is repeated, and
//! what was accepted before and not yet delivered is lost with the memory it was in. Parts of a line that is longer
//! than one log are repeated from its beginning.
//!
//! **What cannot be seen.** A file that is copied and emptied loses what was written between our last look and that.
//! One that is written anew with the same first bytes, and longer than before, looks as if it had grown. A file that
//! came and was renamed between two looks is found only where the pattern matches its new name. A copy that the pattern
//! matches too is a file like any other: what it says is sent twice.

mod followed;
mod pattern;
mod positions;
#[cfg(test)]
mod tests;

use super::Logs;
use crate::aside::aside;
use crate::clock;
use crate::config::FilePattern;
use followed::{Followed, Id, Opened, READ_MAX_BYTES, Step, id_of};
use lifecycle::Close;
use model::Signal;
use pattern::{Pattern, WALK_MAX_ENTRIES};
use pipeline::logs::tail::{Decision, Fingerprint, Position, decide};
use positions::Positions;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Files followed at one time; the newest are.
const FILES_MAX_COUNT: usize = 200;
/// Files open at one time: those that were renamed or removed are kept for [`LEFT_WAIT`].
const OPEN_MAX_COUNT: usize = FILES_MAX_COUNT + 50;

/// How often new files are looked for.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// How often files are looked at while one of them grows.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often otherwise.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a file grew the others wait no longer than [`LOOK_INTERVAL`].
const ACTIVE_WAIT: Duration = Duration::from_secs(10);
/// How long room is waited for before looking again: doubled up to [`LOOK_INTERVAL`] while there is none.
const ROOM_WAIT: Duration = Duration::from_millis(10);
/// How long a file that was renamed or removed may be silent before it is closed: whoever writes to it may not have
/// noticed.
const LEFT_WAIT: Duration = Duration::from_secs(60);
/// How often positions are saved, where they changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);
/// Most that is read in one turn, so that a stop is noticed.
const TURN_MAX_BYTES: usize = 1024 * 1024;

/// Whether there is room for what files say. They can wait, so that they leave the better part to what cannot: half of
/// what the logs' queue may hold before it drops its oldest, and an eighth of all memory.
fn has_room(hub: &Logs) -> bool {
    let (budget, logs) = (&hub.budget, Signal::Logs);
    budget.used(logs) <= budget.limit(logs) / 4 && budget.total_used() <= budget.total_bytes() / 8 * 7
}

/// Follows the files that a pattern matches.
#[derive(Debug)]
pub(crate) struct Follower {
    hub: Arc<Logs>,
    pattern: Pattern,
    positions: Positions,
    /// Oldest first.
    files: Vec<Followed>,
    /// Files without lines in them.
    no_lines: BTreeSet<Id>,
    buffer: Vec<u8>,
    /// Whose turn is first.
    first: usize,
    next_scan_ns: i64,
    next_save_ns: i64,
    /// When a file grew last, nanoseconds since 1970.
    grew_ns: i64,
    /// No file is read beyond where it ended when the stop came.
    is_ending: bool,
    room_wait: Duration,
    /// What was said of all files.
    said_too_many: bool,
    /// Files that could not be read, and were told of.
    unreadable: BTreeSet<PathBuf>,
}

/// What one turn left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// There is more to read now.
    pub(crate) more: bool,
    /// There is more to read, and no room for it.
    pub(crate) full: bool,
}

/// A file that the pattern matches.
struct Seen {
    paths: Vec<PathBuf>,
    modified: SystemTime,
}

impl Follower {
    /// Reads the positions; no file is opened yet.
    pub(crate) fn new(hub: Arc<Logs>, files: FilePattern) -> Self {
        let pattern = Pattern::new(&files.pattern);
        // Instances that share a volume have patterns, and so positions, of their own (losses.md L104).
        let beside = || {
            let hash = Fingerprint::of(files.pattern.as_bytes()).hash;
            pattern.folder().join(format!(".lastlight-positions-{hash:016x}"))
        };
        let positions = Positions::load(files.positions.clone().unwrap_or_else(beside));
        Self {
            hub,
            pattern,
            positions,
            files: Vec::new(),
            no_lines: BTreeSet::new(),
            buffer: vec![0; READ_MAX_BYTES],
            first: 0,
            next_scan_ns: i64::MIN,
            next_save_ns: i64::MIN,
            grew_ns: i64::MIN,
            is_ending: false,
            room_wait: ROOM_WAIT,
            said_too_many: false,
            unreadable: BTreeSet::new(),
        }
    }

    /// Runs as a stage upstream of the logs. Everything that touches a file is done on a thread for what blocks: a
    /// volume may be far away.
    pub(crate) async fn run(hub: Arc<Logs>, files: FilePattern, close: Close) {
        if Self::follow(hub, files, &close).await.is_none() {
            // The agent without its files is better than none.
            log::error!("following files ended by a panic; what they say from now on is not sent");
            close.requested().await;
        }
    }

    /// `None` after a panic.
    async fn follow(hub: Arc<Logs>, files: FilePattern, close: &Close) -> Option<()> {
        let mut follower = aside(move || Self::new(hub, files)).await?;
        loop {
            let wait;
            (follower, wait) = with(follower, |follower| {
                let now_ns = clock::unix_nanos();
                let turn = follower.turn(now_ns);
                follower.wait(turn, now_ns)
            })
            .await?;
            tokio::select! {
                biased;
                () = close.requested() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        (follower, ()) = with(follower, Self::begin_end).await?;
        loop {
            let turn;
            (follower, turn) = with(follower, |follower| follower.turn(clock::unix_nanos())).await?;
            if turn.full {
                follower.hub.flush_now();
            }
            let is_given_up = tokio::select! {
                biased;
                () = close.abandoned() => true,
                () = tokio::time::sleep(ROOM_WAIT), if turn.full => false,
                () = std::future::ready(()), if !turn.full => false,
            };
            if is_given_up || turn == Turn::default() {
                break;
            }
        }
        with(follower, |follower| follower.end(clock::unix_nanos())).await.map(drop)
    }

    /// How long to wait after a turn.
    fn wait(&mut self, turn: Turn, now_ns: i64) -> Duration {
        if turn.full && self.grew_ns != now_ns {
            self.room_wait = (self.room_wait * 2).min(LOOK_INTERVAL);
            return self.room_wait;
        }
        self.room_wait = ROOM_WAIT;
        if turn.more {
            return Duration::ZERO;
        }
        if turn.full {
            return ROOM_WAIT;
        }
        let is_active = now_ns.saturating_sub(self.grew_ns) < nanos(ACTIVE_WAIT);
        if is_active { LOOK_INTERVAL } else { IDLE_LOOK_INTERVAL }
    }

    /// Looks once at what is there, and reads what is new: about [`TURN_MAX_BYTES`] of it. `now_ns` are nanoseconds
    /// since 1970.
    pub(crate) fn turn(&mut self, now_ns: i64) -> Turn {
        if !self.is_ending && is_due(self.next_scan_ns, SCAN_INTERVAL, now_ns) {
            self.scan(now_ns);
            self.next_scan_ns = now_ns.saturating_add(nanos(SCAN_INTERVAL));
        }
        let turn = self.read(now_ns);
        self.let_go(now_ns);
        if !self.is_ending && is_due(self.next_save_ns, SAVE_INTERVAL, now_ns) {
            self.save(now_ns);
            self.next_save_ns = now_ns.saturating_add(nanos(SAVE_INTERVAL));
        }
        turn
    }

    /// From now on only what is there now is read.
    pub(crate) fn begin_end(&mut self) {
        self.scan(clock::unix_nanos());
        self.is_ending = true;
        for file in &mut self.files {
            file.stop_at_end();
        }
    }

    /// Lets go of last lines and saves the positions.
    pub(crate) fn end(&mut self, now_ns: i64) {
        for file in &self.files {
            file.finish();
        }
        self.save(now_ns);
    }

    fn save(&mut self, now_ns: i64) {
        // Of two with one name that which still has it comes last.
        for is_gone in [true, false] {
            let files = self.files.iter().filter(|file| file.gone_ns.is_some() == is_gone);
            for file in files.filter(|file| file.after.is_none() && !file.is_replaced) {
                self.positions.set(&file.name, file.position(), now_ns);
            }
        }
        self.positions.save();
    }

    /// Looks for files that are new, renamed, gone.
    fn scan(&mut self, now_ns: i64) {
        let mut seen = self.seen();
        self.no_lines.retain(|id| seen.contains_key(id));
        for file in &mut self.files {
            let Some(Seen { paths, .. }) = seen.get(&file.id) else {
                file.gone_ns.get_or_insert(now_ns);
                continue;
            };
            file.gone_ns = None;
            if !paths.contains(&file.path)
                && let Some(path) = paths.first()
            {
                if !file.is_replaced {
                    self.positions.forget(&file.name, file.id.1);
                }
                file.path.clone_from(path);
                file.name = path.to_string_lossy().into_owned();
            }
            file.is_replaced = false;
        }
        let mut ids: Vec<Id> = seen.keys().copied().collect();
        model::order::sort_by(&mut ids, |a, b| (seen[b].modified, b).cmp(&(seen[a].modified, a)));
        if ids.len() > FILES_MAX_COUNT {
            if !std::mem::replace(&mut self.said_too_many, true) {
                log::warn!(
                    "{} log files match; the {FILES_MAX_COUNT} that were changed last are followed: choose fewer \
                     with DD_SERVERLESS_LOG_PATH",
                    ids.len()
                );
            }
            for id in ids.drain(FILES_MAX_COUNT..) {
                seen.remove(&id);
                if let Some(at) = self.files.iter().position(|file| file.id == id) {
                    self.suspend(at, now_ns);
                }
            }
        }
        for id in ids.into_iter().rev() {
            if !self.no_lines.contains(&id) && self.files.iter().all(|file| file.id != id) {
                let path = seen[&id].paths[0].clone();
                self.open(id, &path, &seen, now_ns);
            }
        }
    }

    /// What the pattern matches, by what it is.
    fn seen(&mut self) -> BTreeMap<Id, Seen> {
        let found = self.pattern.find();
        if found.is_cut {
            self.hub.say.warn("log folders", || {
                format!(
                    "the folders of followed files have more than {WALK_MAX_ENTRIES} entries; the rest is not looked at"
                )
            });
        }
        if let Some((folder, error)) = found.unreadable {
            self.cannot_read(&folder, &error);
        }
        let mut seen: BTreeMap<Id, Seen> = BTreeMap::new();
        for path in found.paths {
            // A dangling link, or gone again.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if !metadata.is_file() || self.positions.is_kept_in(&path) {
                continue;
            }
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let file = seen.entry(id_of(&metadata, &path)).or_insert(Seen { paths: Vec::new(), modified });
            file.paths.push(path);
        }
        seen
    }

    fn open(&mut self, id: Id, path: &Path, seen: &BTreeMap<Id, Seen>, now_ns: i64) {
        if self.files.len() >= OPEN_MAX_COUNT {
            // Those that are kept for late writers give way, else it waits for the next look.
            let Some(at) = self.files.iter().position(|file| file.gone_ns.is_some() && file.is_at_end) else {
                return;
            };
            self.close(at);
        }
        let opened = match Opened::new(path) {
            Ok(Some(opened)) if opened.id == id => opened,
            // Another file meanwhile.
            Ok(_) => return,
            Err(error) => return self.cannot_read(path, &error),
        };
        let name = path.to_string_lossy().into_owned();
        let known = self.positions.registry().get(&name).copied();
        let mut after = None;
        let offset = match decide(known.as_ref(), &opened.found()) {
            Decision::Nothing => known.map_or(0, |known| known.offset),
            Decision::ReadFrom(offset) if known.is_some() => offset,
            Decision::Truncated => 0,
            decision => {
                let before = self
                    .files
                    .iter()
                    .rfind(|file| file.gone_ns.is_some() && !file.is_replaced && file.name == name);
                after = match (before, known) {
                    (Some(before), _) => Some(before.id),
                    (None, Some(known)) if decision == Decision::Rotated => {
                        self.open_rest(&known, path, seen, now_ns)
                    }
                    _ => None,
                };
                self.elsewhere(&opened)
            }
        };
        let mut file = Followed::new(&self.hub, opened, path, offset, now_ns);
        file.after = after;
        self.files.push(file);
    }

    /// How far a file was read that had another name.
    fn elsewhere(&self, opened: &Opened) -> u64 {
        let found = opened.found();
        let known = self.positions.registry().iter().map(|(_, position)| position);
        let of_it = known.filter(|position| position.device == found.device && position.is_of(&found));
        of_it.map(|position| position.offset).max().unwrap_or(0)
    }

    /// Opens a file that was renamed to something the pattern does not match while nobody looked, if it is still in
    /// its folder and was not read to its end.
    fn open_rest(
        &mut self,
        known: &Position,
        path: &Path,
        seen: &BTreeMap<Id, Seen>,
        now_ns: i64,
    ) -> Option<Id> {
        let id = (known.device, known.inode);
        if known.inode == 0 || seen.contains_key(&id) || self.files.iter().any(|file| file.id == id) {
            return None;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
        let paths = entries.flatten().take(WALK_MAX_ENTRIES).map(|entry| entry.path());
        let is_it = |path: &PathBuf| {
            let metadata = std::fs::symlink_metadata(path);
            metadata.is_ok_and(|metadata| metadata.is_file() && id_of(&metadata, path) == id)
        };
        let opened = Opened::new(&paths.into_iter().find(is_it)?).ok()??;
        let found = opened.found();
        if opened.id != id || !known.is_of(&found) || found.size == known.offset {
            return None;
        }
        let mut rest = Followed::new(&self.hub, opened, path, known.offset, now_ns);
        rest.gone_ns = Some(now_ns);
        self.files.push(rest);
        Some(id)
    }

    /// Reads, a piece of each file in turn.
    fn read(&mut self, now_ns: i64) -> Turn {
        let mut left = TURN_MAX_BYTES;
        self.first = self.first.wrapping_add(1);
        loop {
            let mut is_done = true;
            let mut at = 0;
            while at < self.files.len() {
                let index = (self.first + at) % self.files.len();
                at += 1;
                let file = &mut self.files[index];
                if file.after.is_some() {
                    continue;
                }
                match file.step(&self.hub, &mut self.buffer, now_ns) {
                    Ok(Step::Read(bytes)) => {
                        left = left.saturating_sub(bytes);
                        self.grew_ns = now_ns;
                        is_done = false;
                        if !self.unreadable.is_empty() {
                            self.unreadable.remove(&self.files[index].path);
                        }
                    }
                    Ok(Step::Idle) => is_done &= !self.hand_over(index),
                    Ok(Step::Full) => return Turn { more: false, full: true },
                    Ok(Step::NoLines) => {
                        let file = &self.files[index];
                        log::info!(
                            "{} holds no lines (it is compressed?) and is not followed",
                            file.path.display()
                        );
                        self.no_lines.insert(file.id);
                        self.close(index);
                        is_done = false;
                    }
                    Err(error) => {
                        let path = self.files[index].path.clone();
                        self.cannot_read(&path, &error);
                        // Opened again with the next look for files.
                        self.suspend(index, now_ns);
                        is_done = false;
                    }
                }
            }
            if is_done {
                return Turn::default();
            }
            if left == 0 {
                return Turn { more: true, full: false };
            }
        }
    }

    /// A file that was renamed or removed was read to its end: the one that has its name now follows. Whether there is
    /// one.
    fn hand_over(&mut self, index: usize) -> bool {
        let Followed { id, gone_ns: Some(_), is_replaced: false, is_at_end: true, .. } = self.files[index]
        else {
            return false;
        };
        let mut next = self.files.iter_mut().filter(|file| file.after == Some(id));
        let Some(next) = next.next() else { return false };
        next.after = None;
        self.files[index].is_replaced = true;
        true
    }

    /// Closes what was renamed or removed and is silent.
    fn let_go(&mut self, now_ns: i64) {
        let is_over = |file: &Followed| {
            file.is_at_end
                && file.gone_ns.is_some_and(|gone_ns| {
                    now_ns.saturating_sub(gone_ns.max(file.grew_ns)) >= nanos(LEFT_WAIT)
                })
        };
        while let Some(at) = self.files.iter().position(is_over) {
            self.close(at);
        }
    }

    /// Ends a file for good.
    fn close(&mut self, index: usize) {
        let file = self.files.remove(index);
        file.finish();
        if !file.is_replaced && file.after.is_none() {
            self.positions.forget(&file.name, file.id.1);
        }
        self.release(file.id);
    }

    /// Ends a file that will be opened again where it was left.
    fn suspend(&mut self, index: usize, now_ns: i64) {
        let file = self.files.remove(index);
        file.suspend();
        if !file.is_replaced && file.after.is_none() {
            self.positions.set(&file.name, file.position(), now_ns);
        }
        self.release(file.id);
    }

    /// Nobody waits for a file that is not followed.
    fn release(&mut self, id: Id) {
        for file in self.files.iter_mut().filter(|file| file.after == Some(id)) {
            file.after = None;
        }
    }

    fn cannot_read(&mut self, path: &Path, error: &std::io::Error) {
        if self.unreadable.len() < FILES_MAX_COUNT && self.unreadable.insert(path.to_owned()) {
            log::warn!("cannot read {}: {error}; it is tried again", path.display());
        }
    }
}

/// Whether something that happens every `interval` and next at `next_ns` is due. Where the clock was set back, it is.
fn is_due(next_ns: i64, interval: Duration, now_ns: i64) -> bool {
    next_ns <= now_ns || next_ns.saturating_sub(now_ns) > nanos(interval)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

async fn with<T: Send + 'static>(
    mut follower: Follower,
    act: impl FnOnce(&mut Follower) -> T + Send + 'static,
) -> Option<(Follower, T)> {
    aside(move || {
        let result = act(&mut follower);
        (follower, result)
    })
    .await
}
