//! `testkit-load`: sends trace payloads and prints what became of them as JSON.

use lastlight_testkit::load::{Load, Pace, Target, run};
use lexopt::prelude::*;
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "\
testkit-load (--port PORT | --unix PATH) [--format v04|v05|v07|otlp] [--connections N] [--rate PER_SECOND]
             [--seconds S] [--requests N] [--traces N] [--spans N] [--seed N] [--first-serial N] [--resend]

Sends payloads of 10 traces of 20 spans as fast as they are answered, or at a rate, and prints a report as JSON.";

fn main() -> ExitCode {
    match parse() {
        Ok(Some(load)) => match serde_json::to_string(&run(&load)) {
            Ok(report) => {
                println!("{report}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("testkit-load: {error}");
    ExitCode::FAILURE
}

fn parse() -> Result<Option<Load>, Box<dyn std::error::Error>> {
    let mut load = Load::new(Target::Tcp(0), Pace::Saturate, Duration::from_secs(10));
    let mut targeted = false;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => {
                load.target = Target::Tcp(arguments.value()?.parse()?);
                targeted = true;
            }
            Long("unix") => {
                load.target = Target::Unix(arguments.value()?.into());
                targeted = true;
            }
            Long("format") => load.format = arguments.value()?.parse()?,
            Long("connections") => load.connections = arguments.value()?.parse()?,
            Long("rate") => load.pace = Pace::PerSecond(arguments.value()?.parse()?),
            Long("seconds") => load.duration = Duration::from_secs_f64(arguments.value()?.parse()?),
            Long("requests") => load.requests_max = arguments.value()?.parse()?,
            Long("traces") => load.mix.traces = arguments.value()?.parse()?,
            Long("spans") => load.mix.spans = arguments.value()?.parse()?,
            Long("seed") => load.mix.seed = arguments.value()?.parse()?,
            Long("first-serial") => load.first_serial = arguments.value()?.parse()?,
            Long("resend") => load.resend = true,
            Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    if targeted { Ok(Some(load)) } else { Err("say where to with --port or --unix".into()) }
}
