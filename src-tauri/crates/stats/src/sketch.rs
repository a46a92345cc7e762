//! Latency quantiles that can be merged: `DDSketch` (Masson, Rim, Lee: "`DDSketch`: a fast and fully-mergeable quantile
//! sketch with relative-error guarantees", VLDB 2019) with a relative error of 1 %.
//!
//! What it hides: the bins and the byte format. What must stay true: merging two sketches gives the very bytes that one
//! sketch of all their values gives, so a roll-up of roll-ups equals a roll-up of raw samples; stored bytes keep their
//! meaning for ever, since the first byte names the format.

use crate::error::SketchError;
use crate::varint;

/// The relative error of every quantile.
const ALPHA: f64 = 0.01;
/// Bin `k` holds the values in `(GAMMA^(k-1), GAMMA^k]`.
const GAMMA: f64 = (1.0 + ALPHA) / (1.0 - ALPHA);
/// Fixed-point steps per unit: sums, least and greatest are kept in thousandths (nanoseconds, for values in µs), because
/// adding integers does not depend on the order and adding floating-point numbers does.
const STEPS_PER_UNIT: f64 = 1_000.0;
/// The first byte of the format written here.
const FORMAT: u8 = 1;
/// No finite positive number has a key outside ±`KEY_LIMIT`; larger ones in stored bytes are damage.
const KEY_LIMIT: i32 = 40_000;

/// A mergeable summary of non-negative numbers, here latencies in microseconds.
///
/// Any quantile is within 1 % of the value at the lower rank `floor(q·(n − 1))`. `sum`, `min` and `max` are exact to 0.001.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuantileSketch {
    /// Counts per bin; the first and the last are never 0.
    bins: Vec<u64>,
    /// The key of `bins[0]`.
    first_key: i32,
    /// How many values were 0 (or too small to have a logarithm).
    zeros: u64,
    /// How many values in all.
    count: u64,
    /// Sum of all values, in steps.
    sum_steps: u64,
    /// Least value, in steps.
    min_steps: u64,
    /// Greatest value, in steps.
    max_steps: u64,
}

impl QuantileSketch {
    /// A sketch of no values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one value. Negative, NaN and infinite values are not counted.
    pub fn insert(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        // Adding a half and cutting off rounds without a library call; the cast stops at the largest integer.
        let steps = (value * STEPS_PER_UNIT + 0.5) as u64;
        self.extend_range(steps, steps);
        self.sum_steps = self.sum_steps.saturating_add(steps);
        self.count += 1;
        if value < f64::MIN_POSITIVE {
            self.zeros += 1;
        } else {
            *self.bin(key_of(value)) += 1;
        }
    }

    /// Counts everything that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.extend_range(other.min_steps, other.max_steps);
        self.sum_steps = self.sum_steps.saturating_add(other.sum_steps);
        self.count = self.count.saturating_add(other.count);
        self.zeros = self.zeros.saturating_add(other.zeros);
        if let Some(last) = other.bins.len().checked_sub(1) {
            // Both ends first, so that the bins grow at most once in each direction.
            self.bin(other.first_key + last as i32);
            self.bin(other.first_key);
            let start = (other.first_key - self.first_key) as usize;
            for (mine, theirs) in self.bins[start..].iter_mut().zip(&other.bins) {
                *mine = mine.saturating_add(*theirs);
            }
        }
    }

    /// Counts everything that a stored sketch has counted, without building that sketch. On an error nothing is counted.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        let stored = Stored::read(bytes)?;
        if stored.count == 0 {
            return Ok(());
        }
        self.extend_range(stored.min_steps, stored.max_steps);
        self.sum_steps = self.sum_steps.saturating_add(stored.sum_steps);
        self.count = self.count.saturating_add(stored.count);
        self.zeros = self.zeros.saturating_add(stored.zeros);
        stored.for_each_bin(|key, count| {
            let bin = self.bin(key);
            *bin = bin.saturating_add(count);
        })
    }

    /// The value at quantile `q` (0 to 1), within 1 %; `None` for an empty sketch or a `q` outside 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * (self.count - 1) as f64;
        let mut seen = self.zeros;
        if seen as f64 > rank {
            return Some(0.0);
        }
        for (index, &count) in self.bins.iter().enumerate() {
            seen = seen.saturating_add(count);
            if seen as f64 > rank {
                return Some(value_of(self.first_key + index as i32));
            }
        }
        // Counts beyond 2^53 can round up to the rank itself; the last bin holds it then.
        (!self.bins.is_empty()).then(|| value_of(self.first_key + self.bins.len() as i32 - 1))
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value, to 0.001.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min_steps as f64 / STEPS_PER_UNIT)
    }

    /// The greatest value, to 0.001.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max_steps as f64 / STEPS_PER_UNIT)
    }

    /// The sum of all values, each rounded to 0.001; it stops growing at 1.8e16.
    pub fn sum(&self) -> f64 {
        self.sum_steps as f64 / STEPS_PER_UNIT
    }

    /// The sketch as bytes: format 1, then as LEB128 the least value, greatest − least, sum (all in steps of 0.001), zeros,
    /// the number of filled bins, and for each its key (the first zigzag, then the distance to the last one − 1) and count.
    /// An empty sketch is the format byte alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.push(FORMAT);
        if self.count == 0 {
            return out;
        }
        varint::write(self.min_steps, &mut out);
        varint::write(self.max_steps - self.min_steps, &mut out);
        varint::write(self.sum_steps, &mut out);
        varint::write(self.zeros, &mut out);
        varint::write(self.bins.iter().filter(|&&count| count > 0).count() as u64, &mut out);
        let mut previous = None;
        for (key, &count) in (self.first_key..).zip(&self.bins).filter(|&(_, &count)| count > 0) {
            match previous {
                None => varint::write(varint::zigzag(key), &mut out),
                Some(previous) => varint::write((key - previous - 1) as u64, &mut out),
            }
            varint::write(count, &mut out);
            previous = Some(key);
        }
        out
    }

    /// The sketch that [`Self::to_bytes`] wrote. Any bytes are safe to pass.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut sketch = Self::new();
        sketch.merge_bytes(bytes)?;
        Ok(sketch)
    }

    fn extend_range(&mut self, min_steps: u64, max_steps: u64) {
        if self.count == 0 {
            (self.min_steps, self.max_steps) = (min_steps, max_steps);
        } else {
            self.min_steps = self.min_steps.min(min_steps);
            self.max_steps = self.max_steps.max(max_steps);
        }
    }

    /// The bin of `key`, made when it is new. The caller counts into it.
    fn bin(&mut self, key: i32) -> &mut u64 {
        if self.bins.is_empty() {
            self.first_key = key;
            self.bins.push(0);
        } else if key < self.first_key {
            let missing = (self.first_key - key) as usize;
            self.bins.splice(0..0, std::iter::repeat_n(0, missing));
            self.first_key = key;
        } else if (key - self.first_key) as usize >= self.bins.len() {
            self.bins.resize((key - self.first_key) as usize + 1, 0);
        }
        &mut self.bins[(key - self.first_key) as usize]
    }
}

/// The key of a positive finite value: `ceil(log_gamma value)`.
fn key_of(value: f64) -> i32 {
    // ln((1 + 0.01) / (1 - 0.01)) is 2 atanh(0.01); written out because `ln` is not a constant function.
    const INVERSE_LN_GAMMA: f64 = 1.0 / 0.020_000_666_706_669_543;
    let exponent = value.ln() * INVERSE_LN_GAMMA;
    // The integer at or above it; `ceil` would be a library call on plain x86-64.
    let whole = exponent as i32;
    whole + i32::from(exponent > f64::from(whole))
}

/// The value that stands for a bin: at most 1 % from each of its values.
fn value_of(key: i32) -> f64 {
    2.0 * GAMMA.powi(key) / (1.0 + GAMMA)
}

/// Stored bytes whose head was read and whose bins were checked.
struct Stored<'a> {
    min_steps: u64,
    max_steps: u64,
    sum_steps: u64,
    zeros: u64,
    count: u64,
    bins: u64,
    rest: &'a [u8],
}

impl<'a> Stored<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SketchError> {
        let (&format, mut rest) = bytes.split_first().ok_or(SketchError::Damaged("no bytes"))?;
        if format != FORMAT {
            return Err(SketchError::Version(format));
        }
        if rest.is_empty() {
            return Ok(Self { min_steps: 0, max_steps: 0, sum_steps: 0, zeros: 0, count: 0, bins: 0, rest });
        }
        let mut next = || varint::read(&mut rest).ok_or(SketchError::Damaged("head cut off"));
        let (min_steps, spread, sum_steps, zeros, bins) = (next()?, next()?, next()?, next()?, next()?);
        let max_steps = min_steps.checked_add(spread).ok_or(SketchError::Damaged("range too large"))?;
        let mut stored = Self { min_steps, max_steps, sum_steps, zeros, count: zeros, bins, rest };
        let mut count = Some(zeros);
        stored.for_each_bin(|_, n| count = count.and_then(|total| total.checked_add(n)))?;
        stored.count = count.filter(|&count| count > 0).ok_or(SketchError::Damaged("counts do not add up"))?;
        Ok(stored)
    }

    fn for_each_bin(&self, mut visit: impl FnMut(i32, u64)) -> Result<(), SketchError> {
        let mut rest = self.rest;
        let mut previous: Option<i32> = None;
        for _ in 0..self.bins {
            let code = varint::read(&mut rest).ok_or(SketchError::Damaged("bins cut off"))?;
            let key = match previous {
                None => varint::unzigzag(code),
                Some(previous) => i32::try_from(code).ok().and_then(|gap| previous.checked_add(gap)?.checked_add(1)),
            };
            let key = key.filter(|key| key.abs() <= KEY_LIMIT).ok_or(SketchError::Damaged("bin out of range"))?;
            let count = varint::read(&mut rest).filter(|&count| count > 0).ok_or(SketchError::Damaged("empty bin"))?;
            visit(key, count);
            previous = Some(key);
        }
        if rest.is_empty() { Ok(()) } else { Err(SketchError::Damaged("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch_of(values: &[f64]) -> QuantileSketch {
        let mut sketch = QuantileSketch::new();
        for &value in values {
            sketch.insert(value);
        }
        sketch
    }

    /// Latencies from 1 ns to 11 days in µs, zeros, and now and then anything finite.
    fn latency() -> impl Strategy<Value = f64> {
        prop_oneof![6 => 1e-3..1e12f64, 6 => 1_000.0..100_000.0f64, 1 => Just(0.0), 1 => 0.0..=f64::MAX, 1 => 0.0..1e-300f64]
    }

    fn latencies() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(latency(), 0..60)
    }

    proptest! {
        /// Law: merging equals sketching the concatenation, to the byte, whichever way it is merged.
        #[test]
        fn merge_is_the_sketch_of_the_concatenation(left in latencies(), right in latencies()) {
            let whole = sketch_of(&[left.as_slice(), right.as_slice()].concat());
            let mut merged = sketch_of(&left);
            merged.merge(&sketch_of(&right));
            prop_assert_eq!(merged.to_bytes(), whole.to_bytes());
            prop_assert_eq!(&merged, &whole);
            let mut from_stored = sketch_of(&right);
            from_stored.merge_bytes(&sketch_of(&left).to_bytes()).unwrap();
            prop_assert_eq!(from_stored.to_bytes(), whole.to_bytes());
        }

        /// Law: what was written is read back, to the bit.
        #[test]
        fn reading_undoes_writing(values in latencies()) {
            let sketch = sketch_of(&values);
            prop_assert_eq!(QuantileSketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
        }

        /// Law: every quantile is within 1 % of the value at the lower rank.
        #[test]
        fn quantiles_are_within_one_percent(values in prop::collection::vec(1e-3..1e12f64, 1..80), q in 0.0..=1.0f64) {
            let found = sketch_of(&values).quantile(q).unwrap();
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(q * (sorted.len() - 1) as f64).floor() as usize];
            prop_assert!((found - exact).abs() <= exact * ALPHA * (1.0 + 1e-9), "{found} for {exact}");
        }

        /// Law: bytes from anywhere give a sketch or an error. What is read without error is written back the same or shorter.
        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..80), format_known: bool) {
            let mut bytes = bytes;
            if format_known && let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            if let Ok(sketch) = QuantileSketch::from_bytes(&bytes) {
                prop_assert!(sketch.to_bytes().len() <= bytes.len());
                let _ = (sketch.quantile(0.5), sketch.sum());
            }
        }

        /// Law: one changed byte never panics, and never leaves a half-merged sketch behind an error.
        #[test]
        fn damage_is_all_or_nothing(values in latencies(), index: prop::sample::Index, byte: u8) {
            let mut bytes = sketch_of(&values).to_bytes();
            let index = index.index(bytes.len());
            bytes[index] = byte;
            let mut sketch = sketch_of(&[5.0, 7.0]);
            let before = sketch.clone();
            if sketch.merge_bytes(&bytes).is_err() {
                prop_assert_eq!(sketch, before);
            }
        }
    }

    #[test]
    fn quantiles_equal_the_reference_implementation() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/data/latency.json")).unwrap();
        for case in reference["exact_and_sketch"].as_array().unwrap() {
            // The reference's values are milliseconds; keys depend on the unit, so the sketch is fed the same numbers.
            let values: Vec<f64> = case["values_ms"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let sketch = sketch_of(&values);
            let expected = &case["expected"];
            for (index, q) in expected["q"].as_array().unwrap().iter().enumerate() {
                let q = q.as_f64().unwrap();
                let found = sketch.quantile(q).unwrap();
                let port = expected["ddsketch_alpha_0.01"][index].as_f64().unwrap();
                assert!((found / port - 1.0).abs() < 1e-9, "{} at {q}: {found}, reference {port}", case["id"]);
                let lower = expected["numpy_lower"][index].as_f64().unwrap();
                assert!((found - lower).abs() <= 0.01 * lower * (1.0 + 1e-12), "{} at {q}", case["id"]);
            }
            let mean = sketch.sum() / sketch.count() as f64;
            assert!((mean - expected["mean"].as_f64().unwrap()).abs() < 1e-3, "{}", case["id"]);
        }
    }

    #[test]
    fn a_minute_of_four_samples_is_small() {
        let bytes = sketch_of(&[38_120.0, 41_877.0, 36_004.0, 212_340.0]).to_bytes();
        assert!(bytes.len() <= 26, "{} bytes", bytes.len());
    }

    #[test]
    fn the_stored_format_does_not_change() {
        let bytes = sketch_of(&[0.0, 1.0, 1_500.0, 1_500.0]).to_bytes();
        assert_eq!(bytes, [1, 0, 0xe0, 0xc6, 0x5b, 0xa8, 0x95, 0xb7, 0x01, 1, 2, 0, 1, 0xed, 0x02, 2]);
    }

    #[test]
    fn empty_and_senseless_values() {
        let sketch = sketch_of(&[f64::NAN, f64::INFINITY, -1.0]);
        assert_eq!((sketch.count(), sketch.quantile(0.5), sketch.min(), sketch.max()), (0, None, None, None));
        assert_eq!(sketch.to_bytes(), [1]);
        assert_eq!(sketch_of(&[2.5]).quantile(1.5), None);
        assert_eq!(QuantileSketch::from_bytes(&[]), Err(SketchError::Damaged("no bytes")));
        assert_eq!(QuantileSketch::from_bytes(&[9, 1]), Err(SketchError::Version(9)));
    }
}
