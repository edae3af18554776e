//! `testkit-statsd`: sends DogStatsD lines and prints what was sent as JSON.

use lastlight_testkit::statsd::{Load, Target, run};
use lexopt::prelude::*;
use std::{ffi::OsString, process::ExitCode, time::Duration};

const USAGE: &str = "\
testkit-statsd (--udp PORT | --unixgram PATH | --unixstream PATH) [--rate SAMPLES_PER_SECOND] [--seconds S]
               [--samples N] [--contexts N] [--kinds c,g,d,h,ms,s] [--per-datagram N] [--count-max N] [--seed N]

Sends counts, gauges and distributions of 1000 contexts, 18 to a datagram, as fast as it goes or at a rate, for 10 s
or a number of samples, and prints a report as JSON.";

fn main() -> ExitCode {
    let report =
        parse().and_then(|load| load.map(|load| Ok(serde_json::to_string(&run(&load)?)?)).transpose());
    match report {
        Ok(report) => {
            println!("{}", report.as_deref().unwrap_or(USAGE));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("testkit-statsd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<Load>, Box<dyn std::error::Error>> {
    let mut load = Load::new(Target::Udp(0), Duration::from_secs(10));
    let mut targeted = false;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        let name = match argument {
            Long("help") => return Ok(None),
            Long(name) => name.to_owned(),
            _ => return Err(argument.unexpected().into()),
        };
        let value = arguments.value()?;
        match name.as_str() {
            "udp" => load.target = Target::Udp(value.parse()?),
            "unixgram" => load.target = Target::UnixDatagram(value.into()),
            "unixstream" => load.target = Target::UnixStream(value.into()),
            _ => {
                option(&mut load, &name, &value)?;
                continue;
            }
        }
        targeted = true;
    }
    if targeted { Ok(Some(load)) } else { Err("say where to with --udp, --unixgram or --unixstream".into()) }
}

fn option(load: &mut Load, name: &str, value: &OsString) -> Result<(), Box<dyn std::error::Error>> {
    match name {
        "rate" => load.rate = Some(value.parse()?),
        "seconds" => load.duration = Duration::from_secs_f64(value.parse()?),
        "samples" => load.samples_max = value.parse()?,
        "contexts" => load.mix.contexts = value.parse()?,
        "kinds" => {
            let kinds = value.to_str().ok_or("--kinds is not text")?;
            load.mix.kinds = kinds.split(',').map(str::parse).collect::<Result<_, _>>()?;
        }
        "per-datagram" => load.mix.samples_per_datagram = value.parse()?,
        "count-max" => load.mix.count_max = value.parse()?,
        "seed" => load.mix.seed = value.parse()?,
        _ => return Err(format!("there is no option --{name}").into()),
    }
    Ok(())
}
