#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| lastlight_fuzz::log_input(body));
