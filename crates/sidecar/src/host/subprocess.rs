//! A server in a process of its own.

use super::said;
use super::spawn::{Program, Spawned, spawn};
use crate::control;
use crate::message::{self, Level};
use agent::config::source::Strings;
use agent::config::table::{LASTLIGHT_BINARY, LASTLIGHT_SIDECAR_LOG};
use channel::{Descriptor, Rendezvous};
use rustix::fs::{Access, Mode, OFlags, access, open};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Of the program, in what `ps` shows and beside the library.
const NAME: &str = "lastlight";
/// Variables that are for the host alone: what is loaded into it need not fit the sidecar.
const HOSTS_OWN: [&str; 2] = ["LD_PRELOAD", "LD_AUDIT"];

/// A process, and the host's end of its control socket.
#[derive(Debug)]
pub(crate) struct Subprocess {
    pub(super) control: Descriptor,
    pub(super) spawned: Spawned,
}

impl Subprocess {
    /// Starts it and hands the rendezvous over. What it says next comes over its control socket.
    pub(crate) fn start(
        rendezvous: &Rendezvous,
        binary: Option<&Path>,
        strings: &dyn Strings,
    ) -> Result<Self, String> {
        let path = find(binary, strings)?;
        let told = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        let (server, owner) = control::pair().map_err(told("no socket"))?;
        let nowhere = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let nowhere = nowhere.map_err(io::Error::from).map_err(told("/dev/null"))?;
        let log = log_file(strings);
        let errors = log.as_ref().unwrap_or(&nowhere).as_fd();
        let program = Program {
            path: CString::new(path.as_os_str().as_bytes()).map_err(|_| "a path with a zero byte")?,
            arguments: vec![c"lastlight".to_owned(), c"sidecar".to_owned()],
            environment: environment(strings),
            control: server.as_fd(),
            streams: [nowhere.as_fd(), nowhere.as_fd(), errors],
        };
        let spawned = spawn(&program).map_err(told(&path.display().to_string()))?;
        drop(server);
        if rendezvous.hand_over(&owner).is_err() {
            spawned.kill();
            return Err(super::start::ENDED_EARLY.to_owned());
        }
        Ok(Self { control: Descriptor::new(owner), spawned })
    }
}

fn environment(strings: &dyn Strings) -> Vec<CString> {
    let names = strings.names().into_iter().filter(|name| !HOSTS_OWN.contains(&name.as_str()));
    let pairs = names.filter_map(|name| strings.get(&name).map(|value| format!("{name}={value}")));
    // What no environment can hold is left out.
    pairs.filter_map(|pair| CString::new(pair).ok()).collect()
}

/// Where the subprocess appends what it says, if anywhere.
fn log_file(strings: &dyn Strings) -> Option<OwnedFd> {
    let path = said(strings, &LASTLIGHT_SIDECAR_LOG)?;
    // A pipe without a reader is not waited for.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match open(&path, flags | OFlags::NOCTTY, Mode::RUSR | Mode::WUSR) {
        Ok(log) => Some(log),
        Err(error) => {
            let error = io::Error::from(error);
            message::say(Level::Warn, format!("LASTLIGHT_SIDECAR_LOG {path}: {error}; nothing is logged"));
            None
        }
    }
}

/// The program, or why there is none.
fn find(option: Option<&Path>, strings: &dyn Strings) -> Result<PathBuf, String> {
    if let Some(path) = option {
        return Ok(path.to_owned());
    }
    if let Some(path) = said(strings, &LASTLIGHT_BINARY) {
        return Ok(path.into());
    }
    let beside = library().and_then(|library| Some(library.parent()?.join(NAME)));
    let path = strings.get("PATH").unwrap_or_default();
    let in_path =
        path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| Path::new(folder).join(NAME));
    beside
        .into_iter()
        .chain(in_path)
        .find(|path| access(path, Access::EXEC_OK).is_ok() && path.is_file())
        .ok_or_else(|| "no lastlight beside the library nor in PATH".to_owned())
}

/// The file that this code was loaded from.
fn library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    file_at(&maps, library as fn() -> Option<PathBuf> as usize)
}

/// The file of an address, from lines `first-last flags offset device number path`.
fn file_at(maps: &str, address: usize) -> Option<PathBuf> {
    let line = maps.lines().find(|line| {
        let Some((first, last)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
            return false;
        };
        let bounds = [first, last].map(|bound| usize::from_str_radix(bound, 16));
        matches!(bounds, [Ok(first), Ok(last)] if (first..last).contains(&address))
    })?;
    let path = line.get(line.find('/')?..)?;
    (!path.ends_with(" (deleted)")).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::config::source::Fixed;

    #[test]
    fn the_library_is_the_file_of_its_code() {
        assert_eq!(library().unwrap(), std::env::current_exe().unwrap());
        let maps = "1000-2000 r--p 00000000 08:01 7 /a b/lib.so\n2000-3000 r-xp 00001000 08:01 7 /gone.so (deleted)\n\
                    4000-5000 rw-p 00000000 00:00 0 [heap]\n";
        assert_eq!(file_at(maps, 0x1000).unwrap().to_str(), Some("/a b/lib.so"));
        assert_eq!(file_at(maps, 0x2000), None);
        assert_eq!(file_at(maps, 0x3000), None);
        assert_eq!(file_at(maps, 0x4fff), None);
    }

    #[test]
    fn the_program_is_the_options_then_the_settings_then_one_that_is_found() {
        let strings = Fixed::new().with("LASTLIGHT_BINARY", "/b").with("PATH", "/nowhere");
        assert_eq!(find(Some(Path::new("/a")), &strings).unwrap(), Path::new("/a"));
        assert_eq!(find(None, &strings).unwrap(), Path::new("/b"));
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(NAME);
        let strings = Fixed::new().with("PATH", &format!(":.:{}", folder.path().display()));
        std::fs::write(&program, "").unwrap();
        // Not executable.
        assert!(find(None, &strings).is_err());
        rustix::fs::chmod(&program, Mode::RWXU).unwrap();
        assert_eq!(find(None, &strings).unwrap(), program);
    }

    #[test]
    fn the_subprocess_has_the_settings_and_not_what_is_loaded_into_the_host() {
        let strings = Fixed::new().with("A", "1").with("LD_PRELOAD", "/x.so").with("B", "x\0y").with("C", "");
        assert_eq!(environment(&strings), [c"A=1".to_owned(), c"C=".to_owned()]);
    }
}
