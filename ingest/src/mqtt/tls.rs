//! TLS for connections to MQTT brokers: whom to trust, and with which certificate to come.

use std::sync::Arc;

use rumqttc::TlsConfiguration;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{ConfigError, MqttConnection};

/// What a client of this broker uses TLS with. The files are read each time, so that renewed ones count from the next
/// connection on.
///
/// # Errors
/// A file can't be used.
pub(crate) fn settings(connection: &MqttConnection, setting: &str) -> Result<Arc<ClientConfig>, ConfigError> {
    // Whoever comes first sets the process's default; all of Trinity uses this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(ca) = &connection.ca else {
        return match TlsConfiguration::default() {
            TlsConfiguration::Rustls(config) => Ok(config),
            TlsConfiguration::Simple { .. } => unreachable!("the default trusts what the system trusts"),
        };
    };
    let wrong = |part: &str, file: &std::path::Path, error: &dyn std::fmt::Display| {
        ConfigError::new(format!("{setting}.{part}"), format!("can't use {}: {error}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| wrong("ca", ca, &error))? {
        let certificate = certificate.map_err(|error| wrong("ca", ca, &error))?;
        roots.add(certificate).map_err(|error| wrong("ca", ca, &error))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match (&connection.cert, &connection.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let chain = chain.map_err(|error| wrong("cert", cert, &error))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("key", key, &error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| wrong("cert", cert, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(config.into())
}
