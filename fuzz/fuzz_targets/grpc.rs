//! The target `grpc` of the crate `fuzzing`, which says what it checks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = pilothouse_fuzzing::target("grpc").expect("the target is listed");
    (target.run)(bytes);
});
