#![no_main]
libfuzzer_sys::fuzz_target!(|datagram: &[u8]| lastlight_fuzz::sidecar_message(datagram));
