//! TLS to the backend: whom to trust, loaded when the first `https` connection is made and not before, so
//! that it costs the start nothing.

use crate::aside::aside;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, KeyProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The oldest version of TLS that is spoken (`DD_MIN_TLS_VERSION`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MinimumTls {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinimumTls {
    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
            Self::Tls13 => vec![&rustls::version::TLS13],
        }
    }
}

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// PEM file of certificates trusted besides the system's (`DD_TLS_CERT_FILE`).
    pub cert_file: Option<PathBuf>,
    /// Trust anybody (`DD_SKIP_SSL_VALIDATION`).
    pub skip_validation: bool,
    /// The oldest version spoken.
    pub minimum: MinimumTls,
}

/// The configurations of both kinds of connection.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// To a backend: HTTP/2 when it is offered.
    pub(super) backend: Arc<ClientConfig>,
    /// To a proxy, which speaks HTTP/1.1.
    pub(super) proxy: Arc<ClientConfig>,
}

#[derive(Debug)]
pub(super) struct Tls {
    settings: TlsSettings,
    trust: OnceCell<Trust>,
}

impl Tls {
    pub(super) fn new(settings: TlsSettings) -> Self {
        Self { settings, trust: OnceCell::new() }
    }

    /// Loads the roots once; a failure is tried again at the next connection.
    pub(super) async fn trust(&self) -> Result<Trust, String> {
        let load = || async {
            let settings = self.settings.clone();
            // Hundreds of files on some systems.
            aside(move || load(&settings)).await.ok_or("loading certificates panicked")?
        };
        self.trust.get_or_try_init(load).await.cloned()
    }
}

fn load(settings: &TlsSettings) -> Result<Trust, String> {
    let provider = CryptoProvider { key_provider: &NoKeys, ..rustls::crypto::ring::default_provider() };
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&settings.minimum.versions())
        .map_err(|error| format!("TLS: {error}"))?;
    let mut backend = if settings.skip_validation {
        let verifier = Arc::new(TrustAnybody { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(settings)?).with_no_client_auth()
    };
    backend.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut proxy = backend.clone();
    proxy.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Trust { backend: Arc::new(backend), proxy: Arc::new(proxy) })
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.cert_file {
        let unreadable = |error| format!("DD_TLS_CERT_FILE {}: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let refused = |error| format!("DD_TLS_CERT_FILE {}: {error}", path.display());
            roots.add(certificate.map_err(unreadable)?).map_err(refused)?;
        }
        if roots.is_empty() {
            return Err(format!("DD_TLS_CERT_FILE {} holds no certificate", path.display()));
        }
    }
    let system = rustls_native_certs::load_native_certs();
    // Systems carry a few certificates that are malformed or expired; the others still count.
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        let errors: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
        let why = if errors.is_empty() { String::new() } else { format!(" ({})", errors.join("; ")) };
        return Err(format!(
            "the system has no root certificates{why}: install ca-certificates or set DD_TLS_CERT_FILE"
        ));
    }
    Ok(roots)
}

/// We show no certificate, so there is no key to read: what signs with one is left out of the binary.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("clients have no keys here".into()))
    }
}

/// `DD_SKIP_SSL_VALIDATION`: encrypted, but to whom is not asked. Signatures are still checked.
#[derive(Debug)]
struct TrustAnybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
