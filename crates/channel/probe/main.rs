//! The processes of the tests: trees that fork, send and are killed. Not shipped.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod guests;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod tree;

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("tree") => tree::run(&rest),
        Some("measure") => measure::run(),
        Some("relay") => tree::relay(&rest),
        Some("keep") => tree::keep(&rest),
        Some("closed") => tree::closed(),
        Some("parent") => tree::parent_and_child(&rest),
        Some("pools") => tree::pools(&rest),
        Some("knock") => guests::knock(&rest),
        Some("serve") => guests::serve(&rest),
        other => panic!("unknown probe {other:?}"),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
