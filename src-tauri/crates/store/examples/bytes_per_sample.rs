//! Prints how many bytes a sample takes on the disk, with its rollups: `cargo run --release -p pilothouse-store --example
//! bytes_per_sample [ENDPOINTS] [DAYS]` (default: 10 endpoints, 3 days at 15 s).

#[path = "../benches/fixture/mod.rs"]
mod fixture;

use fixture::{INTERVAL_MS, START, add_endpoints, fill};
use pilothouse_store::{OpenOptions, Store};

#[expect(clippy::print_stdout, reason = "a program whose output is the point")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (endpoints, days) = (number(10)?, number(3)?);
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default())?;
    let rounds = i64::from(days) * 86_400_000 / INTERVAL_MS;
    fill(&store, &add_endpoints(&store, endpoints as usize), rounds, INTERVAL_MS);
    let size = store.storage_size()?;
    let samples = f64::from(endpoints) * rounds as f64;
    println!("{samples} samples of {endpoints} endpoints, {days} days from {} ms on, bytes per sample:", START.0);
    for (name, bytes) in [
        ("samples", size.samples),
        ("minutes", size.minutes),
        ("hours", size.hours),
        ("days", size.days),
        ("all", size.samples + size.minutes + size.hours + size.days),
    ] {
        println!("{name:>8} {:7.2}", bytes as f64 / samples);
    }
    Ok(())
}
