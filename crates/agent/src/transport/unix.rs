//! The Unix socket receiver: a path, or a name in the abstract namespace (Linux).

use super::socket_file::{self, SocketFile};
use super::{BindError, Transport, TransportName};
use std::fmt;
use std::io;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

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

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// A bound Unix listener; removes its file when dropped.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    name: TransportName,
    _file: Option<SocketFile>,
}

impl Unix {
    /// Binds `address` for traces. A stale socket file is replaced; one that somebody serves is not.
    ///
    /// # Errors
    /// When the socket cannot be had; the advice says why.
    pub async fn bind(address: &UnixAddress) -> Result<Self, BindError> {
        Self::bind_for(address, "DD_APM_RECEIVER_SOCKET")
    }

    /// Binds `address` as [`Unix::bind`] does, with advice that names `variable`, the setting it came from.
    /// To be called within the runtime.
    ///
    /// # Errors
    /// As for [`Unix::bind`].
    pub fn bind_for(address: &UnixAddress, variable: &str) -> Result<Self, BindError> {
        let name = TransportName { kind: "unix", address: address.to_string() };
        let (listener, file) = match address {
            UnixAddress::File(path) => {
                let bind = |path: &Path| adopt(StdListener::bind(path)?);
                let (listener, file) = socket_file::bind(path, &name, variable, bind)?;
                (listener, Some(file))
            }
            UnixAddress::Abstract(text) => {
                let bind = |address: &SocketAddr| adopt(StdListener::bind_addr(address)?);
                (socket_file::bind_abstract(text, &name, variable, bind)?, None)
            }
        };
        Ok(Self { listener, name, _file: file })
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

fn adopt(listener: StdListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::socket_file::MODE;
    use std::os::unix::fs::PermissionsExt;

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
        let error = Unix::bind_for(&address, "DD_DOGSTATSD_STREAM_SOCKET").expect_err("live");
        assert!(error.advice.contains("DD_DOGSTATSD_STREAM_SOCKET"), "the advice names the setting: {error}");
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
