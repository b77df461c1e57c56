//! A time of day that jumps, for one process. Time that passes is left alone: only a clock that
//! somebody sets jumps.

use std::path::PathBuf;

use crate::harness::free_address;
use crate::harness::gateway::{Gateway, GatewayCommand};

/// Where Debian's package `libfaketime` puts its library, by architecture.
const PLACES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// A clock that can be set.
pub struct Clock {
    file: tempfile::NamedTempFile,
}

impl Clock {
    /// One that is right.
    pub fn new() -> Self {
        let clock = Self { file: tempfile::NamedTempFile::new().expect("a file") };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds beside the right time.
    pub fn set(&self, seconds: i64) {
        // In one write: it is read all the time.
        std::fs::write(self.file.path(), format!("{seconds:+}\n")).expect("a written clock");
    }

    /// A ready gateway that goes by this clock.
    pub async fn gateway(&self, nats_url: &str) -> Gateway {
        let path = self.file.path().to_str().expect("a path");
        GatewayCommand::listening_at(free_address(), nats_url, &super::ARGUMENTS)
            .with_environment("LD_PRELOAD", library().to_str().expect("a path"))
            .with_environment("FAKETIME_TIMESTAMP_FILE", path)
            .with_environment("FAKETIME_NO_CACHE", "1")
            .with_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()
            .await
    }
}

fn library() -> PathBuf {
    let places = std::fs::read_dir(PLACES).expect("the system's libraries");
    let mut found = places.flatten().map(|place| place.path().join(LIBRARY));
    found.find(|path| path.exists()).expect("libfaketime: run tests/prepare, or install it")
}
