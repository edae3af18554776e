//! The place where a process tree meets: a listening socket and a secret, made before the host forks and inherited.

use crate::descriptor::Descriptor;
use crate::frame::PROTOCOL;
use crate::peer::{Owner, our_pid};
use crate::secret::{SECRET_BYTES, Secret};
use crate::socket;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Connections that wait while nobody serves. The kernel takes less where `net.core.somaxconn` is less.
pub const BACKLOG_MAX_COUNT: i32 = 1024;
/// Names that are tried: one for each life of an owner that executes itself anew while processes of its former lives,
/// which have the older names, still run.
const NAMES_MAX_COUNT: u32 = 64;
/// How often the lock is looked at by who waits for it.
const LOCK_PERIOD: Duration = Duration::from_millis(5);
/// Before the name in a hand-over.
const HAND_OVER: [u8; 4] = *b"LLs\x01";
/// Longest name, bytes: the kernel's bound.
const NAME_MAX_BYTES: usize = 107;

/// The listening socket of a process tree, its secret, and who may serve it.
///
/// All of it is inherited by `fork` (and by nobody over `exec`, see [`Rendezvous::hand_over`]). Nothing is on the file
/// system. While nobody serves, connections wait in the backlog rather than being refused.
///
/// # The serving lock
/// A record lock on the listening socket itself. Of the kernel's locks it is the one that belongs to a *process* (to its table
/// of descriptors, of which a thread may have one of its own): a child does not inherit it, so an orphan can tell that nobody
/// serves; and it goes with the process however that ends. `flock` and open-file-description locks belong to what is
/// inherited: they would be held for as long as any child lives. The price of a record lock is that it goes when *any*
/// descriptor of the file is closed in its table; a duplicate that somebody makes of all descriptors and closes costs the
/// lock, which a server notices at the next connection.
#[derive(Debug)]
pub struct Rendezvous {
    listener: Descriptor,
    name: Vec<u8>,
    owner: Owner,
    secret: Secret,
    /// The process in which this memory's lock is held; 0 when it is not. A child's copy names its parent.
    serving: Arc<AtomicU32>,
}

/// The right to serve, held by one process of the tree at a time. Given up when dropped, and at any death.
#[derive(Debug)]
pub struct ServingLock {
    rendezvous: Arc<Rendezvous>,
    pid: u32,
}

/// Who serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServedBy {
    /// Nobody.
    Nobody,
    /// This process.
    Us,
    /// A process of this number, which is 0 or less where it is of another process namespace.
    Other(i32),
    /// The system does not tell.
    Unknown,
}

impl Rendezvous {
    /// Binds, in the process that will be the owner. To be called before the host forks.
    ///
    /// # Errors
    /// When there are no sockets or no randomness to be had, or all names of this process are taken.
    pub fn bind() -> io::Result<Arc<Self>> {
        let owner = Owner::this_process();
        let secret = Secret::new()?;
        let listener = new_socket()?;
        let base = format!("lastlight/{PROTOCOL}/{}/{}", owner.uid, owner.pid);
        let mut life = 1;
        let name = loop {
            let name = if life == 1 { base.clone() } else { format!("{base}/{life}") };
            match bind(&listener, &SocketAddrUnix::new_abstract_name(name.as_bytes())?) {
                Ok(()) => break name.into_bytes(),
                Err(Errno::ADDRINUSE) if life < NAMES_MAX_COUNT => life += 1,
                Err(error) => return Err(error.into()),
            }
        };
        listen(&listener, BACKLOG_MAX_COUNT)?;
        Self::new(listener, name, owner, secret)
    }

    fn new(listener: OwnedFd, name: Vec<u8>, owner: Owner, secret: Secret) -> io::Result<Arc<Self>> {
        let listener = Descriptor::new(listener);
        Ok(Arc::new(Self { listener, name, owner, secret, serving: Arc::default() }))
    }

    /// The same rendezvous over a descriptor of its own, closed on exec, for a thread that is to have a table of descriptors
    /// of its own. This process still serves it once at most.
    ///
    /// A record lock is of a table of descriptors, and goes when *any* descriptor of its file is closed there. So neither
    /// this nor what it was cloned from may be dropped, by a thread of the table that holds the lock, while it is to
    /// be held: the lock is taken after the last of them is closed there.
    ///
    /// # Errors
    /// When there is no descriptor to be had.
    pub fn try_clone(&self) -> io::Result<Arc<Self>> {
        let listener = self.listener.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Self {
            listener: Descriptor::new(rustix::io::fcntl_dupfd_cloexec(listener, 0)?),
            name: self.name.clone(),
            owner: self.owner,
            secret: self.secret.clone(),
            serving: Arc::clone(&self.serving),
        }))
    }

    /// Whether its descriptor is still ours: a host may have closed it.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.listener.get().is_some()
    }

    /// The socket's abstract name, without the leading zero byte.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The process that bound it.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether this process is the owner, and not one of its children.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        our_pid() == self.owner.pid
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The listening socket, to be kept where a host closes descriptors. Not to be accepted from, nor duplicated and
    /// closed in a process that serves.
    #[must_use]
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The right to serve, if nobody has it: neither another process nor another thread of this one.
    #[must_use]
    pub fn try_serve(self: &Arc<Self>) -> Option<ServingLock> {
        let pid = our_pid();
        let former = self.serving.load(Ordering::Acquire);
        let is_ours = former != pid
            && self.serving.compare_exchange(former, pid, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !is_ours {
            return None;
        }
        if !self.lock(FlockOperation::NonBlockingLockExclusive) {
            self.serving.store(0, Ordering::Release);
            return None;
        }
        Some(ServingLock { rendezvous: Arc::clone(self), pid })
    }

    /// As [`Rendezvous::try_serve`], waiting for it up to `deadline`. When the server dies, however it does, exactly
    /// one of those who wait has it within some milliseconds.
    #[must_use]
    pub fn wait_to_serve(self: &Arc<Self>, deadline: Instant) -> Option<ServingLock> {
        loop {
            if let Some(lock) = self.try_serve() {
                return Some(lock);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            socket::pause(left.min(LOCK_PERIOD));
        }
    }

    /// Who serves now. [`ServedBy::Us`] where a thread of this process does, whatever its table of descriptors.
    #[must_use]
    pub fn server(&self) -> ServedBy {
        if self.serving.load(Ordering::Acquire) == our_pid() {
            return ServedBy::Us;
        }
        // The whole file, by anybody.
        let mut lock = nix::libc::flock {
            l_type: nix::libc::F_WRLCK as i16,
            l_whence: nix::libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // Whoever has the number now is not asked.
        let Some(listener) = self.listener.get() else { return ServedBy::Unknown };
        match fcntl(listener, FcntlArg::F_GETLK(&mut lock)) {
            Err(_) => ServedBy::Unknown,
            Ok(_) if lock.l_type == nix::libc::F_UNLCK as i16 => ServedBy::Nobody,
            // A thread of ours with a table of descriptors of its own, to which the lock belongs.
            Ok(_) if u32::try_from(lock.l_pid) == Ok(our_pid()) => ServedBy::Us,
            Ok(_) => ServedBy::Other(lock.l_pid),
        }
    }

    /// Not where the listener was closed: what has its number now is somebody else's, and so are its locks.
    fn lock(&self, operation: FlockOperation) -> bool {
        self.listener.get().is_some_and(|listener| fcntl_lock(listener, operation).is_ok())
    }

    /// A connection to the name, whoever serves it. It does not wait: without a server it is in the backlog.
    pub(crate) fn connect(&self) -> Result<OwnedFd, Errno> {
        let socket = new_socket()?;
        connect(&socket, &SocketAddrUnix::new_abstract_name(&self.name)?)?;
        Ok(socket)
    }

    /// Passes all of it on to another program, over a connected Unix socket that keeps messages apart. The program takes it
    /// by [`Rendezvous::take_over`]. Does not wait.
    ///
    /// # Errors
    /// When the socket takes nothing, or the host has closed the listener.
    pub fn hand_over(&self, to: impl AsFd) -> io::Result<()> {
        let mut message = HAND_OVER.to_vec();
        message.extend(self.owner.pid.to_le_bytes());
        message.extend(self.owner.uid.to_le_bytes());
        message.extend(self.owner.started.to_le_bytes());
        message.extend(self.secret.bytes());
        message.extend(&self.name);
        let listener = self.listener.get().ok_or(io::ErrorKind::NotFound)?;
        if socket::send(to, &message, Some(listener))? {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Takes what [`Rendezvous::hand_over`] passes on.
    ///
    /// # Errors
    /// When nothing comes until `deadline`, or something else does.
    pub fn take_over(from: impl AsFd, deadline: Instant) -> io::Result<Arc<Self>> {
        let mut buffer = [0; HAND_OVER_MAX_BYTES];
        let received = loop {
            match socket::receive(&from, &mut buffer)? {
                socket::Received::Nothing if Instant::now() >= deadline => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                socket::Received::Nothing => {
                    socket::wait(&mut [PollFd::new(&from, PollFlags::IN)], Some(deadline))?;
                }
                other => break other,
            }
        };
        let socket::Received::Message(length, Some(listener)) = received else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let (owner, secret, name) = parse_hand_over(&buffer[..length]).ok_or(io::ErrorKind::InvalidData)?;
        Self::new(listener, name, owner, secret)
    }
}

const HAND_OVER_MAX_BYTES: usize = HAND_OVER.len() + 4 + 4 + 8 + SECRET_BYTES + NAME_MAX_BYTES;

fn parse_hand_over(bytes: &[u8]) -> Option<(Owner, Secret, Vec<u8>)> {
    let rest = bytes.strip_prefix(&HAND_OVER)?;
    let (pid, rest) = rest.split_first_chunk::<4>()?;
    let (uid, rest) = rest.split_first_chunk::<4>()?;
    let (started, rest) = rest.split_first_chunk::<8>()?;
    let (secret, name) = rest.split_first_chunk::<SECRET_BYTES>()?;
    let owner = Owner {
        pid: u32::from_le_bytes(*pid),
        uid: u32::from_le_bytes(*uid),
        started: u64::from_le_bytes(*started),
    };
    Some((owner, Secret::from_bytes(*secret), name.to_vec()))
}

pub(crate) fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

impl ServingLock {
    /// What it is the lock of.
    #[must_use]
    pub fn rendezvous(&self) -> &Arc<Rendezvous> {
        &self.rendezvous
    }

    /// Whether it is still ours. It was lost when somebody in this process closed a descriptor of the listener, and taken
    /// back here unless another process was faster.
    pub(crate) fn is_held(&self) -> bool {
        self.pid == our_pid() && self.rendezvous.lock(FlockOperation::NonBlockingLockExclusive)
    }
}

impl Drop for ServingLock {
    fn drop(&mut self) {
        // A child's copy is no lock.
        if self.pid == our_pid() {
            self.rendezvous.lock(FlockOperation::NonBlockingUnlock);
            self.rendezvous.serving.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_number_of_a_closed_listener_is_neither_locked_nor_asked_nor_handed_over() {
        let mut rendezvous = Rendezvous::bind().unwrap();
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        assert_eq!(rendezvous.server(), ServedBy::Nobody);
        rendezvous.hand_over(&ours).unwrap();
        theirs.recv(&mut [0; 512]).unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        Arc::get_mut(&mut rendezvous).unwrap().listener.steal(&file);
        assert_eq!(rendezvous.server(), ServedBy::Unknown);
        assert!(rendezvous.try_serve().is_none() && rendezvous.try_clone().is_err());
        assert!(rendezvous.hand_over(&ours).is_err() && theirs.recv(&mut [0; 512]).is_err());
    }
}
