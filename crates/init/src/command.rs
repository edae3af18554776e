//! What to run: program, arguments, changes of the environment, streams.

use crate::capture::Capture;
use crate::exit_code::{NOT_FOUND, NOT_RUNNABLE};
use crate::words;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where a program without a slash is looked for when there is no `PATH`, as the C library has it.
const PATH_DEFAULT: &str = "/bin:/usr/bin";
/// `ENOEXEC`: neither a binary of this machine nor a script that names its interpreter.
const NO_EXEC: i32 = 8;

/// A command to run.
#[derive(Debug)]
pub struct Command {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// In order; `None` removes.
    pub(crate) edits: Vec<(OsString, Option<OsString>)>,
    pub(crate) stdin: Stream,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    pub(crate) capture: Option<Capture>,
    /// Standard output is our standard error.
    pub(crate) stdout_is_stderr: bool,
}

/// One of the child's three standard streams.
#[derive(Debug, Default)]
pub enum Stream {
    /// Ours, as it is: the same open file, a terminal if it is one.
    #[default]
    Inherit,
    /// This one: the end of a pipe, a pseudo-terminal. Our copy is closed once the child runs, so that the
    /// other end sees its end of file when the child and its children are done with it. Nothing here waits
    /// for that.
    #[cfg(unix)]
    Fd(std::os::fd::OwnedFd),
}

impl Command {
    /// A command from what stood on our own command line after the options. A sole argument is split into words
    /// as a shell would split them (quotes and backslashes, no expansion, no shell); several are taken verbatim.
    ///
    /// # Errors
    /// When there is no word (127), or a quote is not closed (126).
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, SpawnError> {
        let mut words: Vec<OsString> = arguments.into_iter().collect();
        // What is no Unicode has no quotes that we could find; it is a path.
        if let [line] = words.as_slice()
            && let Some(line) = line.to_str()
        {
            words = words::split(line).map_err(|unfinished| SpawnError {
                exit_code: NOT_RUNNABLE,
                text: format!("cannot split the command into words: {unfinished}: {line}"),
            })?;
        }
        let mut words = words.into_iter();
        match words.next() {
            Some(program) => Ok(Self::new(program, words)),
            None => Err(SpawnError { exit_code: NOT_FOUND, text: "the command names no program".into() }),
        }
    }

    /// A command of a program and its arguments, verbatim. A program without a slash is looked for in the
    /// child's `PATH`.
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            edits: Vec::new(),
            stdin: Stream::Inherit,
            stdout: Stream::Inherit,
            stderr: Stream::Inherit,
            capture: None,
            stdout_is_stderr: false,
        }
    }

    /// The program as it was named.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Sets a variable for the child.
    pub fn env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        self.edits.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable for the child.
    pub fn env_remove(&mut self, name: impl Into<OsString>) -> &mut Self {
        self.edits.push((name.into(), None));
        self
    }

    /// Sets the child's standard input.
    pub fn stdin(&mut self, stream: Stream) -> &mut Self {
        self.stdin = stream;
        self
    }

    /// Sets the child's standard output.
    pub fn stdout(&mut self, stream: Stream) -> &mut Self {
        self.stdout = stream;
        self.stdout_is_stderr = false;
        self
    }

    /// Makes our standard error the child's standard output, captured too where that is asked for (and then by a pipe
    /// even where standard error is a terminal). Where that cannot be had, and on Windows, standard output stays ours.
    pub fn stdout_to_stderr(&mut self) -> &mut Self {
        #[cfg(unix)]
        if let Ok(stderr) = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned() {
            self.stdout = Stream::Fd(stderr);
            self.stdout_is_stderr = true;
        }
        self
    }

    /// Sets the child's standard error.
    pub fn stderr(&mut self, stream: Stream) -> &mut Self {
        self.stderr = stream;
        self
    }

    /// Has what the child writes to those of its two output streams that are [`Stream::Inherit`] passed on to our own,
    /// untouched, and shown to the capture. A terminal stays a terminal. What the child can tell:
    /// [crate](crate#what-a-captured-child-sees-that-differs).
    pub fn capture(&mut self, capture: Capture) -> &mut Self {
        self.capture = Some(capture);
        self
    }

    /// The child's environment: ours with the changes.
    pub(crate) fn environment(
        &self,
        ours: impl Iterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut environment: Vec<_> = ours.collect();
        for (name, value) in &self.edits {
            environment.retain(|(existing, _)| existing != name);
            environment.extend(value.clone().map(|value| (name.clone(), value)));
        }
        environment
    }
}

/// Why the child does not run, and the exit code that says so.
#[derive(Debug)]
pub struct SpawnError {
    /// 127 when the program was not found, 126 when it was and cannot be run.
    pub exit_code: u8,
    pub(crate) text: String,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for SpawnError {}

/// Tries where a program can be, as the C library's `execvp` does, but without its fall-back to a shell:
/// `attempt` runs a path. What is not there is passed over; what may not be run is remembered.
pub(crate) fn run_first<T>(
    program: &OsStr,
    path: Option<&OsStr>,
    mut attempt: impl FnMut(&Path) -> io::Result<T>,
) -> Result<T, SpawnError> {
    let name = program.display();
    let mut refused = None;
    let mut without_interpreter = None;
    for candidate in candidates(program, path) {
        let error = match attempt(&candidate) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match error.kind() {
            // It is there, and still something is not: the interpreter that it names.
            io::ErrorKind::NotFound if candidate.is_file() => without_interpreter = Some(candidate),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            io::ErrorKind::PermissionDenied => refused = Some((candidate, error)),
            _ => {
                let why = match error.raw_os_error() {
                    Some(NO_EXEC) => "it is no program for this machine and no script with a #! line".into(),
                    _ => error.to_string(),
                };
                return Err(SpawnError {
                    exit_code: NOT_RUNNABLE,
                    text: format!("cannot run {}: {why}", candidate.display()),
                });
            }
        }
    }
    Err(match (refused, without_interpreter) {
        (Some((candidate, error)), _) => SpawnError {
            exit_code: NOT_RUNNABLE,
            text: format!("cannot run {}: {error}", candidate.display()),
        },
        (None, Some(candidate)) => SpawnError {
            exit_code: NOT_FOUND,
            text: format!(
                "cannot run {}: its interpreter (the #! line, or the loader of a binary for another C library) \
                 was not found",
                candidate.display()
            ),
        },
        (None, None) => SpawnError { exit_code: NOT_FOUND, text: format!("cannot run {name}: not found") },
    })
}

/// The paths at which a program can be, in the order in which they are tried.
fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.as_encoded_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    // An empty entry is the working directory, and joins to the bare name, which is that.
    std::env::split_paths(path.unwrap_or(OsStr::new(PATH_DEFAULT)))
        .map(|folder| folder.join(program))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<&OsStr> {
        std::iter::once(command.program()).chain(command.arguments.iter().map(OsString::as_os_str)).collect()
    }

    fn from(arguments: &[&str]) -> Result<Command, SpawnError> {
        Command::from_arguments(arguments.iter().map(OsString::from))
    }

    #[test]
    fn a_sole_argument_is_split_and_several_are_not() {
        assert_eq!(words(&from(&["sh -c 'exit 3'"]).unwrap()), ["sh", "-c", "exit 3"]);
        assert_eq!(words(&from(&["sh", "-c", "exit 3"]).unwrap()), ["sh", "-c", "exit 3"]);
        assert_eq!(words(&from(&["/app/my server", "x"]).unwrap()), ["/app/my server", "x"]);
    }

    #[test]
    fn a_command_without_a_program_or_an_end_is_refused() {
        assert_eq!(from(&[]).unwrap_err().exit_code, 127);
        assert_eq!(from(&["  "]).unwrap_err().exit_code, 127);
        let error = from(&["sh -c 'exit"]).unwrap_err();
        assert_eq!(error.exit_code, 126);
        assert!(error.to_string().contains("quote (')"), "{error}");
    }

    #[test]
    fn the_environment_is_ours_with_the_changes() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let ours = [pair("A", "1"), pair("B", "2"), pair("B", "twice"), pair("C", "3")];
        let mut command = Command::new("x", []);
        assert_eq!(command.environment(ours.iter().cloned()), ours);
        command.env("B", "new").env_remove("C").env("D", "4");
        assert_eq!(command.environment(ours.into_iter()), [pair("A", "1"), pair("B", "new"), pair("D", "4")]);
    }

    fn tried(program: &str, path: Option<&str>, errors: &[i32]) -> (Vec<PathBuf>, Result<(), SpawnError>) {
        let mut paths = Vec::new();
        let mut errors = errors.iter();
        let result = run_first(OsStr::new(program), path.map(OsStr::new), |candidate| {
            paths.push(candidate.to_owned());
            match errors.next() {
                Some(0) | None => Ok(()),
                Some(number) => Err(io::Error::from_raw_os_error(*number)),
            }
        });
        (paths, result)
    }

    const ENOENT: i32 = 2;
    const EACCES: i32 = 13;
    const ENOTDIR: i32 = 20;

    #[test]
    #[cfg(unix)]
    fn a_program_is_looked_for_along_the_path() {
        let (paths, result) = tried("init-no-such", Some("/a:/b::/c"), &[ENOENT, ENOTDIR, ENOENT, 0]);
        assert_eq!(
            paths,
            ["/a/init-no-such", "/b/init-no-such", "init-no-such", "/c/init-no-such"].map(PathBuf::from)
        );
        assert!(result.is_ok());
        assert_eq!(tried("./x", Some("/a"), &[]).0, [PathBuf::from("./x")]);
        assert_eq!(tried("x", None, &[ENOENT]).0, ["/bin/x", "/usr/bin/x"].map(PathBuf::from));
    }

    #[test]
    #[cfg(unix)]
    fn l99_not_found_is_127_and_not_runnable_126() {
        let code = |errors| tried("init-no-such", Some("/a:/b"), errors).1.unwrap_err().exit_code;
        assert_eq!(code(&[ENOENT, ENOENT]), 127);
        assert_eq!(code(&[EACCES, ENOENT]), 126);
        assert_eq!(code(&[NO_EXEC]), 126);
        assert_eq!(tried("", Some("/a"), &[]).1.unwrap_err().exit_code, 127);
    }
}
