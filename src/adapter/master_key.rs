//! The master key: 256 bits, outside the store, that seal what must not be readable in it.
//!
//! ```text
//! gw_mk_ q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA (43 characters of base64url: 32 bytes)
//! ```
//!
//! It is one line in a file that only its owner can read, or the value of an environment variable.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::port::entropy::Entropy;

const PREFIX: &str = "gw_mk_";
/// A file that is longer than this is something else.
const MAX_FILE: u64 = 1024;

/// The text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a master key is `gw_mk_` and 43 characters of base64url, on one line")]
pub struct MalformedMasterKey;

/// A master key file cannot be used. Each message says what to do.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    #[error(
        "there is no master key at {path}: restore it from a backup, for nothing else opens the keys that it sealed; or, for a \
         new installation, make one with\n  \
         (umask 077; printf gw_mk_%s \"$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')\" > {path})"
    )]
    Missing { path: PathBuf },
    #[error("{path} holds no master key: {MalformedMasterKey}; was another file meant?")]
    Malformed { path: PathBuf },
    #[error(
        "{path} may be used by others (mode {mode:04o}): run `chmod 600 {path}`, or mount the secret with mode 0400; and if others \
         may have read it, replace it"
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{path} exists already: it may have sealed keys, so it is not overwritten; move it away if it is not needed"
    )]
    Exists { path: PathBuf },
    #[error("cannot use {path}: {source}; check that its directory exists and belongs to the user who runs the server")]
    Unusable { path: PathBuf, source: io::Error },
}

/// The master key. Does not print, compare, clone or serialise; its memory is wiped when it is dropped.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// Reads the text form; white space around it does not matter.
    pub fn parse(text: &str) -> Result<Self, MalformedMasterKey> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(MalformedMasterKey)?;
        let mut bytes = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode_slice(body, &mut *bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(MalformedMasterKey),
        }
    }

    /// Reads a key file that only its owner may use.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let unusable = |source| MasterKeyError::Unusable { path: path.into(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(MasterKeyError::Missing { path: path.into() });
            }
            Err(error) => return Err(unusable(error)),
        };
        // Asked of the open file, so that nobody can swap it in between.
        refuse_exposed(path, &file.metadata().map_err(unusable)?)?;
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
        match file.take(MAX_FILE).read_to_string(&mut text) {
            Ok(_) => Self::parse(&text).map_err(|MalformedMasterKey| MasterKeyError::Malformed { path: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(MasterKeyError::Malformed { path: path.into() })
            }
            Err(error) => Err(unusable(error)),
        }
    }

    /// Writes a new key file with mode 0600.
    ///
    /// The file appears at `path` whole or not at all, and never replaces one: it is written under another name, forced to disk,
    /// and then linked. Of two processes that start at once one succeeds; the other gets [`MasterKeyError::Exists`] and can read.
    pub fn create(&self, path: &Path, entropy: &dyn Entropy) -> Result<(), MasterKeyError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}.new", u64::from_be_bytes(random(entropy))));
        let draft = PathBuf::from(draft);
        let written = self.write_new(&draft).and_then(|()| fs::hard_link(&draft, path));
        let cleaned = fs::remove_file(&draft);
        match written {
            Ok(()) => cleaned.and_then(|()| sync_directory(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(MasterKeyError::Exists { path: path.into() });
            }
            Err(error) => Err(error),
        }
        .map_err(|source| MasterKeyError::Unusable { path: path.into(), source })
    }

    /// The 32 bytes, for deriving keys.
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut line = Zeroizing::new(String::with_capacity(PREFIX.len() + 44));
        line.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(*self.0, &mut line);
        line.push('\n');
        let mut file = options.open(path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

fn random(entropy: &dyn Entropy) -> [u8; 8] {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    bytes
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), MasterKeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & 0o027 == 0 { Ok(()) } else { Err(MasterKeyError::Exposed { path: path.into(), mode }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), MasterKeyError> {
    Ok(())
}

/// A new name is on disk only when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::adapter::entropy::Counted;

    fn text_of(key: &MasterKey) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(key.expose()))
    }

    #[test]
    fn a_new_file_reads_back_and_only_its_owner_may_use_it() {
        let (room, entropy) = (tempfile::tempdir().unwrap(), Counted::default());
        let path = room.path().join("master.key");
        let key = MasterKey::generate(&entropy);
        key.create(&path, &entropy).unwrap();
        assert_eq!(MasterKey::read(&path).unwrap().expose(), key.expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), text_of(&key) + "\n");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let (room, entropy) = (tempfile::tempdir().unwrap(), Counted::default());
        let path = room.path().join("master.key");
        let first = MasterKey::generate(&entropy);
        first.create(&path, &entropy).unwrap();
        let second = MasterKey::generate(&entropy).create(&path, &entropy);
        assert!(matches!(second, Err(MasterKeyError::Exists { .. })));
        assert_eq!(MasterKey::read(&path).unwrap().expose(), first.expose());
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_others_may_use_is_refused_with_the_command_that_helps() {
        let (room, entropy) = (tempfile::tempdir().unwrap(), Counted::default());
        let path = room.path().join("master.key");
        MasterKey::generate(&entropy).create(&path, &entropy).unwrap();
        for mode in [0o604, 0o620, 0o660, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::read(&path).unwrap_err();
            assert!(matches!(error, MasterKeyError::Exposed { mode: seen, .. } if seen == mode));
            assert!(error.to_string().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(MasterKey::read(&path).is_ok());
    }

    #[test]
    fn a_missing_file_a_malformed_one_and_a_missing_directory_are_told_apart() {
        let (room, entropy) = (tempfile::tempdir().unwrap(), Counted::default());
        let path = room.path().join("master.key");
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Missing { .. })));
        fs::write(&path, [0xff; 60]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Malformed { .. })));
        fs::write(&path, "gw_mk_short\n").unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Malformed { .. })));
        let nowhere = room.path().join("no/such/master.key");
        let created = MasterKey::generate(&entropy).create(&nowhere, &entropy);
        assert!(matches!(created, Err(MasterKeyError::Unusable { .. })));
    }

    #[test]
    fn the_command_that_the_message_recommends_makes_a_key() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("master.key");
        let message = MasterKey::read(&path).unwrap_err().to_string();
        let command = message.lines().last().unwrap();
        assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success());
        assert!(MasterKey::read(&path).is_ok());
    }

    #[test]
    fn other_texts_are_no_master_key() {
        let text = text_of(&MasterKey::generate(&Counted::default()));
        assert!(MasterKey::parse(&format!(" {text}\n")).is_ok());
        for bad in ["", "gw_mk_", &text[..48], &text[6..], &format!("{text}A"), &format!("{text}\n{text}")] {
            assert_eq!(MasterKey::parse(bad).map(|_| ()), Err(MalformedMasterKey), "{bad:?}");
        }
    }

    #[test]
    fn a_master_key_does_not_print() {
        assert_eq!(format!("{:?}", MasterKey::generate(&Counted::default())), "MasterKey(..)");
    }
}
