#![no_main]
libfuzzer_sys::fuzz_target!(|lines: &[u8]| lastlight_fuzz::trace_headers(lines));
