//! The name by which programs look for the shared library: it stays as long as nothing is removed, whatever the release.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,liblastlight.so.0");
}
