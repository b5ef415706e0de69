#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heartwire_fuzz::c_client::run(bytes));
