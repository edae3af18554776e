//! The hosts of the tests: processes that fork, forbid, kill and count. Not shipped.

#![allow(unsafe_code, reason = "what hosts do has no safe calls")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs, reason = "all of this is test code")]

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod system;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("sidecar") => return hosts::sidecar(),
        Some("open") => hosts::open(&rest),
        Some("daemon") => hosts::daemon(&rest),
        Some("pool") => hosts::pool(&rest),
        Some("standing") => hosts::standing(&rest),
        Some("orphan") => hosts::orphan(&rest),
        Some("family") => hosts::family(&rest),
        Some("closing") => hosts::closing(&rest),
        Some("guest") => hosts::guest(&rest),
        Some("busy") => hosts::busy(&rest),
        Some("lazy") => hosts::lazy(&rest),
        Some("persistent") => hosts::persistent(&rest),
        Some("idle") => hosts::idle(&rest),
        other => panic!("unknown probe {other:?}"),
    }
    ExitCode::SUCCESS
}

#[cfg(not(target_os = "linux"))]
fn main() {}
