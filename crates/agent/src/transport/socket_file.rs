//! Binding Unix sockets of any type: who may take over a path, and who removes it.

use super::{BindError, TransportName};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// Mode of the socket file: everyone may write, that is connect (`facts/trace-intake.md`; like the reference).
pub(super) const MODE: u32 = 0o722;

/// A socket file that we made; it is removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that we never remove somebody else's.
    ours: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).ok() == Some(self.ours) {
            // Left behind it is only stale, and the next one replaces it.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Binds a path with `bind`. A stale socket file is replaced; one that somebody serves is not. `variable` is the
/// setting that the advice names.
pub(super) fn bind<T>(
    path: &Path,
    name: &TransportName,
    variable: &str,
    bind: impl FnOnce(&Path) -> io::Result<T>,
) -> Result<(T, SocketFile), BindError> {
    let fail = |error: io::Error, advice: String| BindError { name: name.clone(), error, advice };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(fail(
                io::ErrorKind::AlreadyExists.into(),
                format!("the path is not a socket: remove it, or choose another with {variable}"),
            ));
        }
        if is_served(path) {
            return Err(fail(
                io::ErrorKind::AddrInUse.into(),
                format!("another process serves this socket: stop it, or choose another with {variable}"),
            ));
        }
        std::fs::remove_file(path).map_err(|error| {
            fail(error, "the stale socket could not be removed: check its directory's mode".into())
        })?;
    }
    let bound = (|| {
        let socket = bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok((socket, SocketFile { path: path.to_owned(), ours: identity(path)? }))
    })();
    bound.map_err(|error| {
        fail(error, format!("check that {variable} names a directory that exists and can be written"))
    })
}

/// Binds a name of the abstract namespace with `bind`.
#[cfg(target_os = "linux")]
pub(super) fn bind_abstract<T>(
    text: &str,
    name: &TransportName,
    variable: &str,
    bind: impl FnOnce(&SocketAddr) -> io::Result<T>,
) -> Result<T, BindError> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(text).and_then(|address| bind(&address)).map_err(|error| BindError {
        name: name.clone(),
        error,
        advice: format!("another process may own the name: choose another with {variable}"),
    })
}

/// Refuses: there is no abstract namespace.
#[cfg(not(target_os = "linux"))]
pub(super) fn bind_abstract<T>(
    _text: &str,
    name: &TransportName,
    variable: &str,
    _bind: impl FnOnce(&SocketAddr) -> io::Result<T>,
) -> Result<T, BindError> {
    Err(BindError {
        name: name.clone(),
        error: io::ErrorKind::Unsupported.into(),
        advice: format!("abstract sockets exist on Linux only: set {variable} to a path"),
    })
}

/// Whether a process reads from the socket. Connecting a datagram socket tells without a trace at the other
/// side: a socket of another type refuses by its type, and only one that nobody holds refuses the connection.
fn is_served(path: &Path) -> bool {
    let tried = UnixDatagram::unbound().and_then(|probe| probe.connect(path));
    !matches!(tried, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
