//! The journal: the only code that knows NATS.
