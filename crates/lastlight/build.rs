//! How the binary is linked.
//!
//! At a fixed address where that is how Linux starts a program soonest: without it the loader
//! rewrites some 10,000 pointers and copies the pages they stand on before the first line runs (half of the time from
//! exec to the first accepted connection, and 0.27 MB of the file). The price is that the binary's own addresses
//! are not randomized; those of its libraries, heap and stacks are.
//!
//! With functions of the same code folded into one (0.04 MB), where the linker is the one that comes with Rust;
//! others may not know the option, so any sign of another turns it off. Rust promises no function an address of its own,
//! and nothing here compares them.

#![expect(clippy::disallowed_methods, reason = "the environment is what a build script is told by")]

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let told = |name: &str| env::var(name).unwrap_or_default();
    let linux_gnu = told("CARGO_CFG_TARGET_OS") == "linux" && told("CARGO_CFG_TARGET_ENV") == "gnu";
    if linux_gnu {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
    let linker_chosen =
        env::var_os("RUSTC_LINKER").is_some() || told("CARGO_ENCODED_RUSTFLAGS").contains("link");
    if linux_gnu && told("PROFILE") == "release" && !linker_chosen && has_lld(&told("RUSTC"), &told("TARGET"))
    {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// Whether `rustc` links this target by the linker it brings along: on the one target where it does so unasked.
fn has_lld(rustc: &str, target: &str) -> bool {
    target == "x86_64-unknown-linux-gnu"
        && Command::new(rustc).args(["--print", "sysroot"]).output().is_ok_and(|output| {
            let sysroot = String::from_utf8_lossy(&output.stdout);
            Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
        })
}
