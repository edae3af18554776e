//! The positions on disk.

use pipeline::logs::registry::{REGISTRY_MAX_BYTES, Registry};
use pipeline::logs::tail::Position;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The positions, in memory and in their file.
///
/// The file is replaced as a whole: written beside, synced, renamed, and the folder synced. Whatever ends this process
/// leaves the old one or the new one (losses.md L103).
#[derive(Debug)]
pub(super) struct Positions {
    registry: Registry,
    path: PathBuf,
    /// The file does not say what we know.
    is_changed: bool,
    /// That it cannot be written was said.
    is_said: bool,
}

impl Positions {
    /// Reads the file. Where there is none, or one that cannot be used, which is said, every file is new.
    pub(super) fn load(path: PathBuf) -> Self {
        let registry = match read(&path) {
            Ok(registry) => registry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Registry::default(),
            Err(error) => {
                log::warn!(
                    "the positions in followed files cannot be read from {}: {error}; the files are read from their \
                     beginning, and what was sent of them before is sent again",
                    path.display()
                );
                Registry::default()
            }
        };
        Self { registry, path, is_changed: false, is_said: false }
    }

    /// Whether this is the file they are kept in, or written to before it is renamed.
    pub(super) fn is_kept_in(&self, path: &Path) -> bool {
        path == self.path || path == self.beside()
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Remembers how far a file was read.
    pub(super) fn set(&mut self, name: &str, position: Position, now_ns: i64) {
        if self.registry.get(name) == Some(&position) {
            return;
        }
        if let Some(forgotten) = self.registry.set(name, position, now_ns) {
            log::debug!(
                "no room for the position in {forgotten}: after a restart it is read from its beginning"
            );
        }
        self.is_changed = true;
    }

    /// Forgets a file, if it still is the one with this number.
    pub(super) fn forget(&mut self, name: &str, inode: u64) {
        if self.registry.get(name).is_some_and(|position| position.inode == inode) {
            self.registry.remove(name);
            self.is_changed = true;
        }
    }

    /// Writes the file when it does not say what we know. Where that fails it is said once, and tried again with the
    /// next change or call.
    pub(super) fn save(&mut self) {
        if !self.is_changed {
            return;
        }
        match self.write() {
            Ok(()) => {
                self.is_changed = false;
                self.is_said = false;
            }
            Err(error) if !self.is_said => {
                self.is_said = true;
                log::warn!(
                    "the positions in followed files cannot be kept in {}: {error}; a restart reads them from their \
                     beginning: choose another place with LASTLIGHT_LOG_POSITIONS",
                    self.path.display()
                );
            }
            Err(_) => {}
        }
    }

    fn beside(&self) -> PathBuf {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        beside.into()
    }

    fn write(&self) -> io::Result<()> {
        let beside = self.beside();
        let written = (|| {
            let mut file = File::create(&beside)?;
            file.write_all(self.registry.encode().as_bytes())?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&beside, &self.path)
        })();
        if let Err(error) = written {
            // It may never have been made; what is left of it is overwritten the next time.
            std::fs::remove_file(&beside).ok();
            return Err(error);
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Not every system opens folders; then the rename is as durable as it makes it.
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            folder.sync_all().ok();
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Registry> {
    let mut text = String::new();
    // One byte more: that it is too big is for the registry to say.
    File::open(path)?.take(REGISTRY_MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    Registry::decode(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
