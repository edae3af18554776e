//! What programs are built against: the header, the symbols, the files that are installed.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use support::{backend, built, host, root, run_well};

/// The functions that this release promises.
fn promised() -> BTreeSet<String> {
    let file = concat!("crates/capi/abi/", env!("CARGO_PKG_VERSION"), ".txt");
    let text = std::fs::read_to_string(root().join(file)).expect("what the release promises");
    let functions = text.lines().filter_map(|line| line.strip_prefix("function "));
    functions
        .map(|line| {
            let name = line.split('(').next().unwrap_or_default();
            name.rsplit([' ', '*']).next().unwrap_or_default().to_owned()
        })
        .collect()
}

/// The global symbols that a library defines.
fn defined(arguments: &[&str], library: &Path) -> BTreeSet<String> {
    let output = run_well(Command::new("nm").args(arguments).arg(library));
    let text = String::from_utf8(output.stdout).expect("names");
    text.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

#[test]
fn the_shared_library_exports_what_the_release_promises_and_nothing_else() {
    let symbols = defined(&["--dynamic", "--defined-only"], &built().join("liblastlight.so"));
    assert_eq!(symbols, promised());
}

#[test]
fn the_static_library_has_what_the_release_promises() {
    let symbols = defined(&["--defined-only", "--extern-only"], &built().join("liblastlight.a"));
    let ours: BTreeSet<String> = symbols.into_iter().filter(|name| name.starts_with("lastlight_")).collect();
    assert_eq!(ours, promised());
}

#[test]
fn the_shared_library_needs_the_c_library_alone_and_is_called_what_it_stays() {
    let output = run_well(Command::new("readelf").arg("--dynamic").arg(built().join("liblastlight.so")));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("soname: [liblastlight.so.0]"), "{text}");
    for line in text.lines().filter(|line| line.contains("(NEEDED)")) {
        let name = line.split(['[', ']']).nth(1).unwrap_or_default();
        let known =
            ["libc.so", "libm.so", "libgcc_s.so", "ld-linux", "libdl.so", "libpthread.so", "librt.so"];
        assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
    }
}

#[test]
fn the_library_has_no_runtime_that_looks_after_signals() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--edges", "normal,features", "--package", "lastlight-capi"]);
    let output = run_well(tree.current_dir(root()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("tokio feature \"net\""), "{text}");
    assert!(!text.contains("tokio feature \"signal\""), "{text}");
}

#[test]
fn the_header_is_c99_and_cpp11_without_a_warning() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let include = root().join("crates/capi/include");
    for (compiler, standard, name) in [("cc", "c99", "header.c"), ("c++", "c++11", "header.cpp")] {
        let source = folder.join(name);
        std::fs::write(&source, "#include <lastlight.h>\nint main(void) { return LASTLIGHT_OK; }\n")
            .expect(name);
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]);
        run_well(command.arg(format!("-std={standard}")).arg("-I").arg(&include).arg(&source));
    }
}

#[test]
fn programs_find_what_is_installed_by_pkg_config() {
    if !support::is_installed("pkg-config") {
        return;
    }
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix");
    let mut install = Command::new(env!("CARGO"));
    install.args(["run", "--quiet", "--offline", "--package", "xtask", "--target-dir"]);
    install
        .arg(built().parent().expect("a target folder"))
        .args(["--", "c-install", "--prefix"])
        .arg(&prefix);
    run_well(install.arg("--from").arg(built()).current_dir(root()));

    let ask = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("lastlight").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        String::from_utf8(run_well(&mut command).stdout).expect("flags")
    };
    assert_eq!(ask(&["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
    let shared = ask(&["--cflags", "--libs"]);
    let fixed = format!("{} {}", ask(&["--cflags"]), ask(&["--variable=static"]));
    for (name, flags, is_shared) in [("installed-shared", shared, true), ("installed-static", fixed, false)] {
        for source in [
            "examples/c/minimal.c",
            "examples/c/prefork.c",
            "examples/c/builder.c",
            "examples/cpp/threads.cpp",
        ] {
            let compiler = if source.ends_with("cpp") { "c++" } else { "cc" };
            let program = prefix.join(format!("{name}-{}", source.replace('/', "-")));
            let mut compile = Command::new(compiler);
            compile
                .args(["-Wall", "-Wextra", "-Werror", "-pthread"])
                .arg(root().join(source))
                .arg("-o")
                .arg(&program);
            run_well(compile.args(flags.split_whitespace()));
            let backend = backend();
            let mut command = host(&program, &backend, "thread");
            if is_shared {
                command.env("LD_LIBRARY_PATH", prefix.join("lib"));
            }
            run_well(&mut command);
            assert!(backend.span_count() > 0, "{source} {name}");
        }
    }
}
