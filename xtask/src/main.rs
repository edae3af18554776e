//! Chores. `cargo xtask tidy` keeps the house true; `settings` writes docs/settings.md, `header` the C library's header,
//! `abi` what its release promises, `c-install` puts the library where programs look for it.

mod capi;
mod edges;
mod install;
mod losses;
mod source;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let root = tidy::root();
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let problems = tidy::problems(&root);
            for problem in &problems {
                eprintln!("{problem}");
            }
            if problems.is_empty() {
                println!("tidy: nothing to say");
                ExitCode::SUCCESS
            } else {
                eprintln!("tidy: {} problems", problems.len());
                ExitCode::FAILURE
            }
        }
        Some("settings") => {
            let path = root.join(tidy::SETTINGS_DOCUMENT);
            match std::fs::write(&path, agent::config::table::markdown()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("cannot write {}: {error}", path.display());
                    ExitCode::FAILURE
                }
            }
        }
        Some("header") => done(capi::write_header(&root)),
        Some("abi") => {
            done(capi::write_promises(&root, std::env::args().nth(2).as_deref() == Some("--anew")))
        }
        Some("c-install") => done(install::install(&root, std::env::args().skip(2))),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy|settings|header|abi [--anew]|c-install --prefix DIR [--from DIR]"
            );
            ExitCode::from(64)
        }
    }
}

fn done(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
