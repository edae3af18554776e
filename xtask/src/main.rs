//! Chores. `cargo xtask tidy` keeps the house true; `cargo xtask settings` writes docs/settings.md.

mod edges;
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
        _ => {
            eprintln!("usage: cargo xtask tidy|settings");
            ExitCode::from(64)
        }
    }
}
