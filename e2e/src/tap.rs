//! Listens between a client and an agent and remembers what the client asked for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
};

/// A relay; ends when dropped.
#[derive(Debug)]
pub struct Tap {
    url: String,
    sent: Arc<Mutex<Vec<u8>>>,
    accepting: JoinSet<()>,
}

impl Tap {
    /// On a free TCP port, to a TCP port.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn tcp(agent: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut tap = Self::new(format!("http://{}", listener.local_addr().expect("its address")));
        let sent = Arc::clone(&tap.sent);
        tap.accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(agent) = TcpStream::connect(("127.0.0.1", agent)).await else { return };
                connections.spawn(relay(client, agent, Arc::clone(&sent)));
            }
        });
        tap
    }

    /// On a Unix socket in a folder, to a Unix socket.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn unix(folder: &Path, agent: PathBuf) -> Self {
        let path = folder.join("tap.socket");
        let listener = UnixListener::bind(&path).expect("a socket in the folder");
        let mut tap = Self::new(format!("unix://{}", path.display()));
        let sent = Arc::clone(&tap.sent);
        tap.accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(agent) = UnixStream::connect(&agent).await else { return };
                connections.spawn(relay(client, agent, Arc::clone(&sent)));
            }
        });
        tap
    }

    /// What the client connects to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the client has sent these bytes, such as a path.
    pub fn saw(&self, what: &str) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.windows(what.len()).any(|window| window == what.as_bytes())
    }

    fn new(url: String) -> Self {
        Self { url, sent: Arc::default(), accepting: JoinSet::new() }
    }
}

/// Carries one connection until both sides have ended.
async fn relay<S>(client: S, agent: S, sent: Arc<Mutex<Vec<u8>>>)
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_agent, mut to_agent) = tokio::io::split(agent);
    let upward = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
            sent.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..read]);
            if to_agent.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
        drop(to_agent.shutdown().await);
    };
    let downward = async {
        drop(tokio::io::copy(&mut from_agent, &mut to_client).await);
        drop(to_client.shutdown().await);
    };
    tokio::join!(upward, downward);
}
