//! How a connection is made: directly, through a forward proxy, or through a tunnel.

use super::proxy::Proxies;
use super::tls::Tls;
use crate::aside::Names;
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Unanswered connections show after this time of silence.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// Makes connections for the pool.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tcp: HttpConnector<Names>,
    proxies: Arc<Proxies>,
    tls: Arc<Tls>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(proxies: Arc<Proxies>, tls: Arc<Tls>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Names);
        // TLS and proxies are decided here, so `https` reaches this one too.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(timeout));
        Self { inner: Arc::new(Inner { tcp, proxies, tls, timeout }) }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            // Names, TCP, the proxy and TLS together.
            match tokio::time::timeout(inner.timeout, inner.connect(target)).await {
                Ok(stream) => stream,
                Err(_) => Err(format!("no connection within {:?}", inner.timeout).into()),
            }
        })
    }
}

impl Inner {
    async fn connect(&self, target: Uri) -> Result<Stream, BoxError> {
        let secure = target.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.proxies.intercept(&target) else {
            return if secure {
                let trust = self.tls.trust().await?;
                let connector = &mut HttpsConnector::from((self.tcp.clone(), trust.backend));
                Ok(Stream::new(connector.call(target).await?))
            } else {
                Ok(Stream::new(self.tcp.clone().call(target).await?))
            };
        };
        if !secure {
            let mut stream = if proxy.uri().scheme() == Some(&Scheme::HTTPS) {
                let trust = self.tls.trust().await?;
                Stream::new(
                    HttpsConnector::from((self.tcp.clone(), trust.proxy)).call(proxy.uri().clone()).await?,
                )
            } else {
                Stream::new(self.tcp.clone().call(proxy.uri().clone()).await?)
            };
            stream.is_proxied = true;
            return Ok(stream);
        }
        let trust = self.tls.trust().await?;
        let to_proxy = HttpsConnector::from((self.tcp.clone(), trust.proxy));
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Ok(Stream::new(HttpsConnector::from((tunnel, trust.backend)).call(target).await?))
    }
}

/// A connection of any of these kinds.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    /// To a forward proxy: requests carry the whole URL.
    is_proxied: bool,
}

trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

impl Stream {
    /// A connection to a server itself.
    pub(crate) fn new(io: impl Read + Write + Connection + Send + Unpin + 'static) -> Self {
        Self { io: Box::new(io), is_proxied: false }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(context, buffers)
    }
}
