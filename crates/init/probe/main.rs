//! Both sides of this crate's tests: the supervisor, and children that say what they get.

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod supervisor;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let face = arguments.next().unwrap_or_default();
    match face.to_str() {
        Some("run") => supervisor::run(arguments.collect()).into(),
        Some("signals") => child::signals(arguments),
        Some("orphans") => child::orphans(arguments),
        Some("blocking") => child::blocking(arguments),
        Some("brood") => child::brood(arguments),
        _ => {
            eprintln!("init-probe run|signals|orphans|blocking|brood …");
            2.into()
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
