//! `liblastlight`: the sidecar and the tracer behind a C ABI.
