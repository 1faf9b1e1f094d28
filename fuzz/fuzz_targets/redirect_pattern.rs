#![no_main]

use fuzz_targets::Outcome;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match fuzz_targets::redirect_pattern(data) {
        Outcome::Accepted | Outcome::Refused => Corpus::Keep,
        Outcome::Unused => Corpus::Reject,
    }
});
