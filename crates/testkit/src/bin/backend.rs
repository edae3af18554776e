//! `testkit-backend`: the scripted backend for scripts in other languages and for measurements.

use lastlight_testkit::backend::{Backend, Keep, Options};
use lexopt::prelude::*;
use std::process::ExitCode;

const USAGE: &str = "\
testkit-backend [--port PORT] [--keep everything|ids|counts]

Acknowledges what it gets on 127.0.0.1 and prints `listening on PORT`. Ends on Ctrl-C or SIGTERM.
Steer it with POST /_control/{behave,recover,release,reset,wait}; read it with GET /_dump and /_counts.";

fn main() -> ExitCode {
    match parse().and_then(|options| options.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testkit-backend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<Options>, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => options.port = arguments.value()?.parse()?,
            Long("keep") => {
                options.keep = match arguments.value()?.to_str() {
                    Some("everything") => Keep::Everything,
                    Some("ids") => Keep::Ids,
                    Some("counts") => Keep::Counts,
                    _ => return Err("--keep is one of everything, ids, counts".into()),
                }
            }
            Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(options))
}

#[tokio::main(flavor = "current_thread")]
async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let backend = Backend::start_with(options)?;
    println!("listening on {}", backend.port());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
