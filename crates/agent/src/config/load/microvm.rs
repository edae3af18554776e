//! The settings of a MicroVM's lifecycle.

use super::super::MicroVm;
use super::super::reader::Reader;
use super::super::table::{self, Setting};
use super::port;
use crate::platform::{Face, Platform};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

pub(super) fn read(reader: &mut Reader<'_>, platform: Platform, face: Face) -> Option<MicroVm> {
    let port = reader.value(&table::DD_AWS_MICROVM_LIFECYCLE_PORT, port);
    let app_port = reader.optional_integer(&table::DD_AWS_MICROVM_USER_APP_PORT);
    let app_port = app_port.and_then(|port| u16::try_from(port).ok());
    let mut milliseconds =
        |setting: &'static Setting| Duration::from_millis(reader.integer(setting).unsigned_abs());
    let forward_timeout = milliseconds(&table::DD_AWS_MICROVM_FORWARD_TIMEOUT_MS);
    let ready_timeout = milliseconds(&table::DD_AWS_MICROVM_READY_TIMEOUT_MS);
    let validate_timeout = milliseconds(&table::DD_AWS_MICROVM_VALIDATE_TIMEOUT_MS);
    if platform != Platform::LambdaMicroVm || matches!(face, Face::Agent | Face::Library) || port == 0 {
        return None;
    }
    if app_port == Some(port) {
        let why = format!("that is our own port (DD_AWS_MICROVM_LIFECYCLE_PORT={port})");
        reader.conflict(&table::DD_AWS_MICROVM_USER_APP_PORT, why);
    }
    if app_port.is_some() && face == Face::Sidecar {
        let name = table::DD_AWS_MICROVM_USER_APP_PORT.name();
        reader.warnings.push(format!("{name} is ignored: only around a program does it have an effect"));
    }
    Some(MicroVm {
        listen: vec![(Ipv6Addr::UNSPECIFIED, port).into(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))],
        app_port: app_port.filter(|_| face == Face::Entrypoint),
        forward_timeout,
        ready_timeout,
        validate_timeout,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::source::Fixed;
    use crate::config::{Config, MicroVm};
    use crate::platform::{Face, Probe};
    use std::time::Duration;

    fn load(set: &[(&str, &str)], face: Face) -> (Option<MicroVm>, Vec<String>, Vec<String>) {
        let strings = Fixed::from_iter(set.iter().copied());
        let (config, errors) = Config::read(&strings, face, &Probe::default());
        (config.microvm, config.warnings, errors.iter().map(ToString::to_string).collect())
    }

    const HERE: (&str, &str) =
        ("AWS_LAMBDA_MICROVM_IMAGE_ARN", "arn:aws:lambda:us-east-1:123:microvm-image:shop");
    const APP: (&str, &str) = ("DD_AWS_MICROVM_USER_APP_PORT", "8080");

    #[test]
    fn only_the_wrapper_of_a_microvm_is_told() {
        assert_eq!(load(&[], Face::Entrypoint).0, None);
        assert_eq!(load(&[HERE], Face::Agent).0, None);
        assert_eq!(load(&[HERE, ("DD_AWS_MICROVM_LIFECYCLE_PORT", "0")], Face::Entrypoint).0, None);
        let (microvm, _, errors) = load(&[HERE, APP], Face::Entrypoint);
        let microvm = microvm.expect("a server");
        assert_eq!(errors, [] as [&str; 0]);
        let listen: Vec<String> = microvm.listen.iter().map(ToString::to_string).collect();
        assert_eq!((listen.join(" ").as_str(), microvm.app_port), ("[::]:9000 0.0.0.0:9000", Some(8080)));
        let seconds = Duration::from_secs;
        let timeouts = (microvm.forward_timeout, microvm.ready_timeout, microvm.validate_timeout);
        assert_eq!(timeouts, (seconds(30), seconds(60), seconds(60)));
    }

    #[test]
    fn beside_programs_nothing_is_passed_on_and_that_is_said() {
        let (microvm, warnings, _) = load(&[HERE, APP], Face::Sidecar);
        assert_eq!(microvm.expect("a server").app_port, None);
        assert!(warnings.iter().any(|warning| warning.starts_with(APP.0)), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, value) in [
            ("DD_AWS_MICROVM_LIFECYCLE_PORT", "x"),
            ("DD_AWS_MICROVM_USER_APP_PORT", "0"),
            ("DD_AWS_MICROVM_USER_APP_PORT", "9000"),
            ("DD_AWS_MICROVM_FORWARD_TIMEOUT_MS", "0"),
            ("DD_AWS_MICROVM_READY_TIMEOUT_MS", "1s"),
        ] {
            let (_, _, errors) = load(&[HERE, (name, value)], Face::Entrypoint);
            assert!(errors.len() == 1 && errors[0].starts_with(name), "{name}={value}: {errors:?}");
        }
    }
}
