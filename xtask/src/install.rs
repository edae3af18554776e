//! `cargo xtask c-install`: the C library where programs look for it.

use crate::capi;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name that stays as long as nothing is removed; crates/capi/build.rs writes it into the library.
const SONAME: &str = "liblastlight.so.0";
/// What the static library needs besides itself: `rustc --print native-static-libs`.
const STATIC_LIBS: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

/// `--prefix DIR [--from DIR]`: installs what was built, or builds it first (release).
pub(crate) fn install(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut prefix, mut from) = (None, None);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let value = arguments.next().map(PathBuf::from);
        match argument.as_str() {
            "--prefix" => prefix = value,
            "--from" => from = value,
            _ => return Err(format!("{argument}: usage: cargo xtask c-install --prefix DIR [--from DIR]")),
        }
    }
    let prefix = prefix.ok_or("usage: cargo xtask c-install --prefix DIR [--from DIR]")?;
    let from = match from {
        Some(from) => from,
        None => build(root)?,
    };
    let prefix = std::path::absolute(prefix).map_err(|error| error.to_string())?;
    files(root, &from, &prefix).map_err(|error| format!("{}: {error}", prefix.display()))
}

/// Builds the release; where it is then.
fn build(root: &Path) -> Result<PathBuf, String> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "lastlight-capi"])
        .current_dir(root)
        .status()
        .map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("the library does not build".to_owned());
    }
    #[expect(clippy::disallowed_methods, reason = "a chore, not the agent")]
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}

fn files(root: &Path, from: &Path, prefix: &Path) -> std::io::Result<()> {
    let (include, lib) = (prefix.join("include"), prefix.join("lib"));
    let pkgconfig = lib.join("pkgconfig");
    fs::create_dir_all(&include)?;
    fs::create_dir_all(&pkgconfig)?;
    fs::copy(root.join(capi::HEADER), include.join("lastlight.h"))?;
    fs::copy(from.join("liblastlight.a"), lib.join("liblastlight.a"))?;
    let version = env!("CARGO_PKG_VERSION");
    let real = format!("liblastlight.so.{version}");
    // Beside it and then in its place: a program that runs keeps the one it has.
    fs::copy(from.join("liblastlight.so"), lib.join(format!("{real}.new")))?;
    fs::rename(lib.join(format!("{real}.new")), lib.join(&real))?;
    for (link, to) in [(SONAME, real.as_str()), ("liblastlight.so", SONAME)] {
        fs::remove_file(lib.join(link)).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        symlink(to, &lib.join(link))?;
    }
    fs::write(pkgconfig.join("lastlight.pc"), description(prefix, version))
}

/// For pkg-config. `pkg-config --variable=static lastlight` links the static library, and exports none of its symbols.
fn description(prefix: &Path, version: &str) -> String {
    format!(
        "prefix={}\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\
         static=${{libdir}}/liblastlight.a -Wl,--exclude-libs,ALL {STATIC_LIBS}\n\n\
         Name: lastlight\nDescription: the agent of a process tree, without installing one\nVersion: {version}\n\
         Cflags: -I${{includedir}}\nLibs: -L${{libdir}} -llastlight\nLibs.private: {STATIC_LIBS}\n",
        prefix.display()
    )
}

#[cfg(unix)]
fn symlink(to: &str, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, link)
}

#[cfg(not(unix))]
fn symlink(_to: &str, _link: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("the library is for Linux so far"))
}
