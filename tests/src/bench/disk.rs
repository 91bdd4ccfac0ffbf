//! One durable write of the state: what every claim, acknowledgement and step pays, whoever writes it.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use failover_shared::decision::{BootId, Record};
use failover_shared::store::Store;

use super::Row;

/// Writes the state again and again.
///
/// # Errors
/// When the file cannot be written.
pub fn durable_write(folder: &Path) -> Result<Row> {
    let (mut store, _) = Store::open::<Record>(&folder.join("bench.state"), "cfg1", "bench")?;
    let record = Record::fresh(BootId(1));
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        store.write(&record)?;
        times.push(begun.elapsed());
    }
    Ok(Row::of("one durable write of the state (fdatasync)", None, times, "to be taken off the rows with writes"))
}
