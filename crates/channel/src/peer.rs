//! Who is at the other end, by the kernel's word.

use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{geteuid, getpid};
use std::fs;
use std::io;
use std::os::fd::AsFd;

/// Ancestors that are looked at. Process trees are not as deep.
const ANCESTORS_MAX_COUNT: usize = 64;

/// The process at the other end of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Peer {
    /// Its process number; 0 when it belongs to a process namespace that we cannot see. Never signalled: signal 0's
    /// neighbour, a signal to process 0, is one to our own group (losses.md L126).
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

impl Peer {
    /// Of whoever connected to a listener, or listens to what we connected to.
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        Ok(Self { pid: credentials.pid().try_into().unwrap_or(0), uid: credentials.uid() })
    }

    /// Whether the process has ended, as far as can be seen.
    pub(crate) fn is_gone(self) -> bool {
        self.pid != 0 && stat(self.pid).is_none_or(|stat| stat.has_ended) && is_proc_readable()
    }
}

/// The process that bound the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Its process number.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// When it started, in ticks since boot: tells it from a later process of its number. 0 when `/proc` does not say.
    pub(crate) started: u64,
}

impl Owner {
    pub(crate) fn this_process() -> Self {
        let pid = our_pid();
        Self { pid, uid: geteuid().as_raw(), started: stat(pid).map_or(0, |stat| stat.started) }
    }

    fn is(self, pid: u32, stat: Stat) -> bool {
        pid == self.pid && (self.started == 0 || self.started == stat.started)
    }

    /// Its descendants have other parents now, and who they are cannot be told any more: also while nobody has asked how it
    /// ended, which in a container may be never.
    fn is_gone(self) -> bool {
        stat(self.pid).is_none_or(|stat| stat.has_ended || !self.is(self.pid, stat))
    }

    /// Whether a peer may try to prove that it knows the secret: one of the owner's user, ours, or root; or a descendant
    /// of the owner or of us, whoever's. When the owner is gone the secret alone decides about the rest.
    pub(crate) fn permits(self, peer: Peer) -> bool {
        if [0, self.uid, geteuid().as_raw()].contains(&peer.uid) {
            return true;
        }
        let mut pid = peer.pid;
        for _ in 0..ANCESTORS_MAX_COUNT {
            if pid == our_pid() {
                return true;
            }
            match stat(pid) {
                Some(stat) if self.is(pid, stat) => return true,
                Some(stat) if stat.parent > 1 => pid = stat.parent,
                _ => break,
            }
        }
        peer.pid != 0 && self.is_gone()
    }
}

/// Ours, asked anew each time: `fork` changes it.
pub(crate) fn our_pid() -> u32 {
    getpid().as_raw_nonzero().get().unsigned_abs()
}

fn is_proc_readable() -> bool {
    fs::metadata("/proc/self").is_ok()
}

#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    started: u64,
    /// Nobody has asked for its exit code yet.
    has_ended: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    if pid == 0 {
        return None;
    }
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&text)
}

/// The fields after the name, which may hold anything, closing parentheses and spaces too.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    // State, parent, and start as the twentieth.
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, started, has_ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_and_the_start_stand_behind_any_name() {
        let mut text = b"12 (a) b) (c) S 7".to_vec();
        (5..=21).for_each(|number| text.extend(format!(" {number}").bytes()));
        text.extend(b" 4242 99\n");
        let stat = parse_stat(&text).unwrap();
        assert_eq!((stat.parent, stat.started, stat.has_ended), (7, 4242, false));
        assert!(
            parse_stat(b"").is_none() && parse_stat(b"1 (x)").is_none() && parse_stat(b"1 (x) S 1").is_none()
        );
        assert!(super::stat(our_pid()).is_some_and(|stat| stat.parent > 0 && stat.started > 0));
    }

    #[test]
    fn l126_a_peer_of_another_namespace_is_nobody_we_know() {
        let owner = Owner::this_process();
        assert!(!owner.permits(Peer { pid: 0, uid: owner.uid + 12_345 }));
        assert!(!Peer { pid: 0, uid: 1 }.is_gone());
        let gone = Owner { started: owner.started + 1, ..owner };
        assert!(!gone.permits(Peer { pid: 0, uid: owner.uid + 12_345 }));
    }

    #[test]
    fn an_owner_that_nobody_waits_for_is_gone() {
        let mut child =
            std::process::Command::new("true").stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let owner = Owner { pid, started: stat(pid).unwrap().started, ..Owner::this_process() };
        // Its end of the pipe closes a moment before it has ended.
        io::copy(&mut child.stdout.take().unwrap(), &mut io::sink()).unwrap();
        while !stat(pid).unwrap().has_ended {
            std::thread::yield_now();
        }
        assert!(owner.is_gone() && Peer { pid, uid: 0 }.is_gone());
        // As of a master that went into the background, whose workers are somebody else's descendants now.
        assert!(owner.permits(Peer { pid: our_pid(), uid: owner.uid + 12_345 }));
        child.wait().unwrap();
    }

    #[test]
    fn l152_another_users_process_is_permitted_in_the_tree_alone() {
        let owner = Owner::this_process();
        let stranger = owner.uid + 12_345;
        assert!(owner.permits(Peer { pid: owner.pid, uid: stranger }));
        let parent = stat(owner.pid).unwrap().parent;
        assert!(!owner.permits(Peer { pid: parent, uid: stranger }), "a parent is no descendant");
        assert!(owner.permits(Peer { pid: parent, uid: owner.uid }));
        assert!(owner.permits(Peer { pid: 0, uid: 0 }));
    }
}
