//! The Unix socket receiver: a path, or a name in the abstract namespace (Linux).

use super::{BindError, Transport, TransportName};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Mode of the socket file: everyone may write, that is connect (`facts/trace-intake.md`; like the reference).
const MODE: u32 = 0o722;

/// Where a Unix socket stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixAddress {
    /// A path.
    File(PathBuf),
    /// A name in the abstract namespace, without the leading `@`.
    Abstract(String),
}

impl UnixAddress {
    /// `@name` is abstract, everything else a path; `unix://` in front is allowed.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix("unix://").unwrap_or(text);
        match text.strip_prefix('@') {
            Some(name) => Self::Abstract(name.to_owned()),
            None => Self::File(PathBuf::from(text)),
        }
    }
}

/// A bound Unix listener; removes its file when dropped.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    name: TransportName,
    /// Path with device and inode of the file we made, so that we never remove somebody else's.
    file: Option<(PathBuf, (u64, u64))>,
}

impl Unix {
    /// Binds `address`. A stale socket file is replaced; one that somebody serves is not.
    ///
    /// # Errors
    /// When the socket cannot be had; the advice says why.
    pub async fn bind(address: &UnixAddress) -> Result<Self, BindError> {
        match address {
            UnixAddress::File(path) => bind_file(path).await,
            UnixAddress::Abstract(name) => bind_abstract(name),
        }
    }
}

impl Transport for Unix {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    fn name(&self) -> &TransportName {
        &self.name
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file
            && identity(path).ok() == Some(*ours)
        {
            // Left behind it is only stale, and the next one replaces it.
            std::fs::remove_file(path).ok();
        }
    }
}

async fn bind_file(path: &Path) -> Result<Unix, BindError> {
    let name = TransportName { kind: "unix", address: path.display().to_string() };
    let fail = |error: io::Error, advice: String| BindError { name: name.clone(), error, advice };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(fail(
                io::ErrorKind::AlreadyExists.into(),
                "the path is not a socket: remove it, or choose another with DD_APM_RECEIVER_SOCKET".into(),
            ));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(fail(
                io::ErrorKind::AddrInUse.into(),
                "another process serves this socket: stop it, or choose another with DD_APM_RECEIVER_SOCKET"
                    .into(),
            ));
        }
        std::fs::remove_file(path).map_err(|error| {
            fail(error, "the stale socket could not be removed: check its directory's mode".into())
        })?;
    }
    let bound = (|| {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok((listener, identity(path)?))
    })();
    let (listener, ours) = bound.map_err(|error| {
        fail(
            error,
            "check that DD_APM_RECEIVER_SOCKET names a directory that exists and can be written".into(),
        )
    })?;
    Ok(Unix { listener, name, file: Some((path.to_owned(), ours)) })
}

#[cfg(target_os = "linux")]
fn bind_abstract(name: &str) -> Result<Unix, BindError> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
    let transport = TransportName { kind: "unix", address: format!("@{name}") };
    let bound = (|| {
        let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    })();
    match bound {
        Ok(listener) => Ok(Unix { listener, name: transport, file: None }),
        Err(error) => Err(BindError {
            name: transport,
            error,
            advice: "another process may own the name: choose another with DD_APM_RECEIVER_SOCKET".into(),
        }),
    }
}

#[cfg(not(target_os = "linux"))]
fn bind_abstract(name: &str) -> Result<Unix, BindError> {
    Err(BindError {
        name: TransportName { kind: "unix", address: format!("@{name}") },
        error: io::ErrorKind::Unsupported.into(),
        advice: "abstract sockets exist on Linux only: set DD_APM_RECEIVER_SOCKET to a path".into(),
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("apm.socket");
        (directory, path)
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let (_directory, path) = in_a_directory();
        let address = UnixAddress::File(path.clone());
        // Stale: bound once, the file left behind.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        let live = Unix::bind(&address).await.expect("the stale socket is replaced");
        let mode = std::fs::metadata(&path).expect("socket file").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = Unix::bind(&address).await.expect_err("the live socket is not replaced");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).await.is_ok(), "the first one still serves");
        drop(live);
        assert!(!path.exists(), "the file goes with its listener");
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_socket_is_left_alone() {
        let (_directory, path) = in_a_directory();
        std::fs::write(&path, "precious").expect("write");
        let error = Unix::bind(&UnixAddress::File(path.clone())).await.expect_err("not a socket");
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[tokio::test]
    async fn a_successors_socket_survives_its_predecessor() {
        let (_directory, path) = in_a_directory();
        let address = UnixAddress::File(path.clone());
        let first = Unix::bind(&address).await.expect("bind");
        std::fs::remove_file(&path).expect("remove");
        let _second = Unix::bind(&address).await.expect("bind again");
        drop(first);
        assert!(path.exists(), "the predecessor removed its successor's socket");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_abstract_name_leaves_no_file_and_is_owned_once() {
        let address = UnixAddress::parse(&format!("@lastlight-test-{}", std::process::id()));
        let _first = Unix::bind(&address).await.expect("bind");
        assert!(Unix::bind(&address).await.is_err());
    }
}
