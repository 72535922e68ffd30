//! The whole control machine, whatever the client speaks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustsocks_fuzz::{Setup, agree};

fuzz_target!(|input: &[u8]| {
    if let Some((setup, octets)) = Setup::split(input) {
        agree(&setup, octets);
    }
});
