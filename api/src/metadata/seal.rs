//! Encryption at rest: AES-256-GCM. The name of what is sealed is authenticated with it, so that values can't be swapped.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

const KEY_LENGTH: usize = 32;

/// A key.
pub struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why something can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file.
    #[error("the key file {path} can't be used: {problem}")]
    File {
        /// Which.
        path: String,
        /// Why.
        problem: String,
    },
    /// A given key.
    #[error("the key of the secrets {0}")]
    Key(#[from] KeyError),
    /// Another key, or damage.
    #[error("the secret \"{0}\" can't be decrypted: the key is another one than it was written with, or it is damaged")]
    Open(String),
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// The cipher refused.
    #[error("encryption failed")]
    Cipher,
}

/// A text is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be {KEY_LENGTH} bytes in base64, such as `openssl rand -base64 {KEY_LENGTH}` prints")]
pub struct KeyError;

impl Key {
    fn new(bytes: &[u8]) -> Result<Key, KeyError> {
        UnboundKey::new(&AES_256_GCM, bytes).map(|key| Key(LessSafeKey::new(key))).map_err(|_| KeyError)
    }

    /// A key as written in settings and in the key file.
    ///
    /// # Errors
    /// It is none.
    pub fn from_base64(text: &str) -> Result<Key, KeyError> {
        Key::new(&STANDARD.decode(text.trim()).map_err(|_| KeyError)?)
    }

    /// The key of a file that is there.
    pub(super) fn read(path: &Path) -> Result<Key, SealError> {
        let wrong = |problem: String| SealError::File { path: path.display().to_string(), problem };
        let mode = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(wrong(format!("others may read it (mode {:o}): chmod 600", mode & 0o777)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Key::from_base64(&text).map_err(|error| wrong(error.to_string()))
    }

    /// A new key in a new file that only its owner may read.
    pub(super) fn create(path: &Path) -> Result<Key, SealError> {
        let wrong =
            |error: std::io::Error| SealError::File { path: path.display().to_string(), problem: error.to_string() };
        let mut bytes = [0u8; KEY_LENGTH];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::Random)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(wrong)?;
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
        file.write_all(STANDARD.encode(bytes).as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(wrong)?;
        // Secrets that outlive their key would be lost.
        file.sync_all().map_err(wrong)?;
        Ok(Key::new(&bytes)?)
    }

    /// Nonce and encrypted text.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut text = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut text)
            .map_err(|_| SealError::Cipher)?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// The plain text.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let unreadable = || SealError::Open(name.to_owned());
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unreadable())?;
        let mut text = text.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).map_err(|_| unreadable())?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_name_and_key_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::create(&folder.path().join("a.key")).expect("a key");
        let sealed = key.seal("token", b"abc").expect("sealed");
        assert!(!sealed.windows(3).any(|window| window == b"abc"));
        assert_ne!(sealed, key.seal("token", b"abc").expect("sealed"), "each time with another nonce");
        assert_eq!(key.open("token", &sealed).expect("opens"), b"abc");
        assert!(key.open("other", &sealed).is_err());
        let mut damaged = sealed.clone();
        damaged[NONCE_LEN] ^= 1;
        assert!(key.open("token", &damaged).is_err());
        let again = Key::read(&folder.path().join("a.key")).expect("the same key");
        assert_eq!(again.open("token", &sealed).expect("opens"), b"abc");
        let other = Key::create(&folder.path().join("b.key")).expect("a key");
        assert!(other.open("token", &sealed).is_err());
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.key");
        Key::create(&path).expect("a key");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(Key::read(&path).expect_err("open to others").to_string().contains("chmod 600"));
    }
}
