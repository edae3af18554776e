//! The secret of a process tree, and how each side proves that it knows it without sending it.
//!
//! Both sides choose a nonce, and each sends an HMAC-SHA256 by the secret of its role, the protocol, the socket's name and
//! both nonces. The role keeps one side's proof from being the other's, so that a squatter cannot send a client's
//! proof back to it; the nonces keep a proof from being used again.

use crate::frame::{PROOF_BYTES, PROTOCOL};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::io;

/// Length of the secret, bytes.
pub(crate) const SECRET_BYTES: usize = 32;

/// Who proves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Server,
    Client,
}

/// Inherited over `fork`, passed on over a socket to a program that is started, never in an environment or argument.
#[derive(Clone)]
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    pub(crate) fn new() -> io::Result<Self> {
        random().map(Self)
    }

    pub(crate) fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    pub(crate) fn prove(&self, role: Role, name: &[u8], nonces: &Nonces) -> [u8; PROOF_BYTES] {
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(hmac::sign(&self.key(), &statement(role, name, nonces)).as_ref());
        proof
    }

    /// In constant time.
    pub(crate) fn is_proven(&self, role: Role, name: &[u8], nonces: &Nonces, proof: &[u8]) -> bool {
        hmac::verify(&self.key(), &statement(role, name, nonces), proof).is_ok()
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// Both challenges of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonces {
    pub(crate) client: [u8; PROOF_BYTES],
    pub(crate) server: [u8; PROOF_BYTES],
}

/// Unpredictable bytes.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(bytes)
}

/// A number that nobody else has, for all practical purposes.
///
/// # Errors
/// As [`random`].
pub(crate) fn random_number() -> io::Result<u64> {
    random().map(u64::from_le_bytes)
}

/// Every part has a fixed length but the name, which stands last.
fn statement(role: Role, name: &[u8], nonces: &Nonces) -> Vec<u8> {
    let mut statement = Vec::with_capacity(3 + 2 * PROOF_BYTES + name.len());
    statement.push(match role {
        Role::Server => b's',
        Role::Client => b'c',
    });
    statement.extend(PROTOCOL.to_le_bytes());
    statement.extend(nonces.client);
    statement.extend(nonces.server);
    statement.extend_from_slice(name);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_secret_role_name_and_pair_of_nonces() {
        let secret = Secret::from_bytes([7; 32]);
        let nonces = Nonces { client: [1; 32], server: [2; 32] };
        let proof = secret.prove(Role::Client, b"name", &nonces);
        assert!(secret.is_proven(Role::Client, b"name", &nonces, &proof));
        assert!(!secret.is_proven(Role::Server, b"name", &nonces, &proof));
        assert!(!secret.is_proven(Role::Client, b"other", &nonces, &proof));
        let swapped = Nonces { client: [2; 32], server: [1; 32] };
        assert!(!secret.is_proven(Role::Client, b"name", &swapped, &proof));
        assert!(!Secret::from_bytes([8; 32]).is_proven(Role::Client, b"name", &nonces, &proof));
        assert!(!secret.is_proven(Role::Client, b"name", &nonces, &[]));
    }

    #[test]
    fn l152_a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::from_bytes([7; 32])), "Secret(..)");
    }
}
