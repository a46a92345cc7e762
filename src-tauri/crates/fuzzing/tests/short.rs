//! The short run: every seed as it is, and some thousands of mutations of them.

use std::fs;
use std::path::{Path, PathBuf};

use pilothouse_fuzzing::{COMMON_WORDS, TARGETS, Target, target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Mutations of each target's seeds.
const MUTATIONS: u32 = 1_000;

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/seeds").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let mut seeds: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).expect("a seed can be read"))).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "`{}` has seeds", target.name);
    seeds
}

/// One change of a text, at a place that is a share of its length.
#[derive(Debug, Clone)]
enum Edit {
    Replace(f64, u8),
    FlipBit(f64, u8),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Repeat(f64, usize, usize),
    Cut(f64),
    /// Takes the rest from another seed.
    Splice(f64, Vec<u8>),
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |share: f64| (share * bytes.len() as f64) as usize;
    match edit {
        Edit::Replace(at, byte) => {
            let at = place(*at);
            if let Some(old) = bytes.get_mut(at) {
                *old = *byte;
            }
        }
        Edit::FlipBit(at, bit) => {
            let at = place(*at);
            if let Some(old) = bytes.get_mut(at) {
                *old ^= 1 << (bit % 8);
            }
        }
        Edit::Insert(at, new) => {
            let at = place(*at);
            bytes.splice(at..at, new.iter().copied());
        }
        Edit::Remove(at, length) => {
            let at = place(*at);
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Edit::Repeat(at, length, times) => {
            let at = place(*at);
            let piece = bytes[at..(at + length).min(bytes.len())].repeat(*times);
            bytes.splice(at..at, piece);
        }
        Edit::Cut(at) => bytes.truncate(place(*at)),
        Edit::Splice(at, other) => {
            let at = place(*at);
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at.min(other.len())));
        }
    }
}

fn edits(target: &Target, seeds: &[Vec<u8>]) -> impl Strategy<Value = Vec<Edit>> + use<> {
    let words: Vec<Vec<u8>> = COMMON_WORDS.iter().chain(target.words).map(|word| word.as_bytes().to_vec()).collect();
    let share = || 0.0..1.0_f64;
    let edit = prop_oneof![
        1 => (share(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (share(), any::<u8>()).prop_map(|(at, bit)| Edit::FlipBit(at, bit)),
        4 => (share(), prop::sample::select(words)).prop_map(|(at, word)| Edit::Insert(at, word)),
        1 => (share(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (share(), 1..40_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (share(), 1..20_usize, 1..200_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        1 => share().prop_map(Edit::Cut),
        2 => (share(), prop::sample::select(seeds.to_vec())).prop_map(|(at, other)| Edit::Splice(at, other)),
    ];
    prop::collection::vec(edit, 1..6)
}

/// No seed and no mutation of one breaks the target's laws.
fn check(name: &str) {
    let target = target(name).expect("the target is listed");
    let seeds = seeds(&target);
    for (path, seed) in &seeds {
        let run = std::panic::catch_unwind(|| (target.run)(seed));
        assert!(run.is_ok(), "{} breaks a law, as told above", path.display());
    }
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, seed)| seed).collect();
    let strategy = (prop::sample::select(seeds.clone()), edits(&target, &seeds)).prop_map(|(mut bytes, edits)| {
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        bytes
    });
    // As everywhere with proptest, the environment may ask for more.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { MUTATIONS };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |bytes| {
        (target.run)(&bytes);
        Ok(())
    });
    if let Err(error) = result {
        panic!("`{name}`: {error}\nKeep the bytes as a seed in fuzz/seeds/{name}.");
    }
}

macro_rules! short_runs {
    ($($name:ident),*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_target_runs_here_and_in_the_long_run() {
            let here = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), here);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/fuzz_targets");
            for name in here {
                let source = fs::read_to_string(folder.join(format!("{name}.rs"))).expect("a cargo-fuzz target");
                assert!(source.contains(&format!("\"{name}\"")), "{name}");
            }
        }
    };
}

short_runs!(answers, grpc, stream, detection, metrics, config, rows, import, openapi);
