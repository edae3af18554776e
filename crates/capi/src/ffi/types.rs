//! The types of the header. Their fields are public to C and to nobody else.
#![allow(non_camel_case_types, reason = "the names are C's")]

/// Numbers of the functions and structs here. Grows when something is added; nothing is ever removed.
pub const LASTLIGHT_ABI: u32 = 1;

/// Of `lastlight_options.flags`: start nothing at open, only when a process forks, submits or asks with `lastlight_ensure`.
pub const LASTLIGHT_LAZY: u32 = 1;

/// Of `lastlight_trace_options.flags`: `sample_rate` counts. Without it every trace is kept.
pub const LASTLIGHT_TRACE_SAMPLE_RATE: u32 = 1;

/// Instead of a span: no parent here, that is a root, or the child of the extracted context.
pub const LASTLIGHT_NO_SPAN: u32 = u32::MAX;

/// What a call came to. Numbers are never reused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum lastlight_result {
    /// Done.
    Ok = 0,
    /// Too much is under way. The payload stays the caller's and is counted as `no_room`; later there is room.
    NoRoom = 1,
    /// The payload or its headers are over their bounds; or a buffer is too small, and `*length` says how much is needed.
    TooBig = 2,
    /// An argument is not what it must be.
    Invalid = 3,
    /// Not done within the time given.
    TimedOut = 4,
    /// Nobody serves.
    Unavailable = 5,
    /// The handle is closed.
    Closed = 6,
    /// A bug of the library, contained.
    Panicked = 7,
    /// There is no memory for a copy of what was passed.
    NoMemory = 8,
    /// The system refused a socket, a thread or the like; `lastlight_next_message` says more where there is a handle.
    System = 9,
    /// There is nothing to be had.
    Empty = 10,
}

/// What a payload is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum lastlight_kind {
    /// Traces, msgpack, as for `PUT /v0.4/traces`.
    TracesV04 = 1,
    /// Traces, msgpack with a dictionary, as for `PUT /v0.5/traces`.
    TracesV05 = 2,
    /// Stats that the tracer made, as for `PUT /v0.6/stats`.
    Stats = 3,
    /// Lines of DogStatsD: metrics, events, service checks.
    Dogstatsd = 4,
    /// Telemetry of the library itself, JSON.
    Telemetry = 5,
    /// Logs, JSON as for the intake of logs.
    Logs = 6,
    /// Any other request to the agent; the header ":path" says its route.
    Request = 7,
}

/// Where the server of this process tree is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum lastlight_mode {
    /// Nothing was started yet.
    NotYet = 0,
    /// A subprocess.
    Subprocess = 1,
    /// A thread of a process of the tree.
    Thread = 2,
    /// It could not be started.
    Nothing = 3,
}

/// How grave a message is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum lastlight_level {
    /// Something is lost, or cannot be.
    Error = 1,
    /// Something is not as it should be.
    Warn = 2,
    /// What was decided and begun.
    Info = 3,
    /// For those who look for a fault.
    Debug = 4,
    /// For those who know the code.
    Trace = 5,
}

/// Bytes, borrowed for the call. `data` NULL: absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lastlight_str {
    pub(super) data: *const std::ffi::c_char,
    pub(super) length: usize,
}

/// A name and a value: a header, a setting.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lastlight_pair {
    pub(super) name: lastlight_str,
    pub(super) value: lastlight_str,
}

/// How to open. Zeros are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lastlight_options {
    /// Of this struct, in bytes.
    pub(super) size: usize,
    /// `LASTLIGHT_LAZY`.
    pub(super) flags: u32,
    /// How long a server may take to be ready, milliseconds. 0: 1000.
    pub(super) ready_within_ms: u32,
    /// "auto", "subprocess" or "thread". Absent: DD_TRACE_SIDECAR_CONNECTION_MODE, else "auto". Another value is said once,
    /// as a message, and means "auto".
    pub(super) mode: lastlight_str,
    /// The program of the subprocess. Absent: LASTLIGHT_BINARY, else `lastlight` beside the library, else in PATH.
    pub(super) binary: lastlight_str,
    /// Settings over those of the environment (`DD_API_KEY`, `DD_SITE`, ...), UTF-8.
    pub(super) settings: *const lastlight_pair,
    /// How many.
    pub(super) settings_count: usize,
}

/// What this process submitted and what became of it, since the handle was opened or the process forked.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lastlight_counts_t {
    /// Of this struct, in bytes: set before the call, kept by it.
    pub(super) size: usize,
    /// Taken from the caller: accepted + refused + lost + waiting.
    pub(super) submitted: u64,
    /// The sidecar answers for it.
    pub(super) accepted: u64,
    /// Refused for good by the sidecar.
    pub(super) refused: u64,
    /// Given up: at the close, or after it was sent too often to servers that went away over it.
    pub(super) lost: u64,
    /// Neither answered nor given up.
    pub(super) waiting: u64,
    /// Not taken, as there was no room: `LASTLIGHT_NO_ROOM`.
    pub(super) no_room: u64,
    /// Not taken for any other reason.
    pub(super) not_taken: u64,
    /// Answers of the server that it had no room. Such a submission goes on waiting.
    pub(super) no_room_answers: u64,
    /// Sent again after a connection ended without an answer.
    pub(super) resent: u64,
    /// Sent in parts, where memory files were refused.
    pub(super) in_parts: u64,
    /// Connections whose server proved itself and answered.
    pub(super) connected: u64,
    /// Connections that ended, or did not come about.
    pub(super) disconnected: u64,
    /// Whoever had the name was not the server.
    pub(super) squatted: u64,
    /// Servers that this process had started, as nobody served.
    pub(super) promoted: u64,
    /// Accepted by a server that died before they had reached the backend, and sent again. No longer among `accepted`.
    pub(super) taken_back: u64,
    /// Of `accepted`, those of which a copy is kept, as they have not reached the backend; at the close, those of which one was.
    pub(super) retained: u64,
    /// Of `accepted`, those of which no copy was kept though they had not, for want of room for copies.
    pub(super) unretained: u64,
}

/// What a trace starts from. Zeros are the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lastlight_trace_options {
    /// Of this struct, in bytes.
    pub(super) size: usize,
    /// `LASTLIGHT_TRACE_SAMPLE_RATE`.
    pub(super) flags: u32,
    /// More spans than this are counted, not kept. 0: 10000.
    pub(super) spans_max: u32,
    /// Of the root and of every span that says no other. Of all texts here: UTF-8, what is not is replaced.
    pub(super) service: lastlight_str,
    /// The environment: "prod".
    pub(super) env: lastlight_str,
    /// The version of the service.
    pub(super) version: lastlight_str,
    /// The name of the host.
    pub(super) hostname: lastlight_str,
    /// Of the program: "php".
    pub(super) language: lastlight_str,
    /// The share of traces to keep, 0 to 1.
    pub(super) sample_rate: f64,
    /// The version of the language: "8.2.29".
    pub(super) language_version: lastlight_str,
    /// What runs it: "fpm-fcgi".
    pub(super) interpreter: lastlight_str,
}
