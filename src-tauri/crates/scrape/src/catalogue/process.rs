//! What the Prometheus clients for Python, Go and others say of any process
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use super::{Entry, Form, Server};
use crate::Quantity::{Cpu, Memory};

pub(super) static SERVER: Server = Server {
    name: "process",
    entries: &[
        Entry::new(Cpu, "process_cpu_seconds_total", Form::Counter),
        Entry::new(Memory, "process_resident_memory_bytes", Form::Gauge),
    ],
};
