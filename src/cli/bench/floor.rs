//! `jobwire bench floor-server`: writes the frame of every event to every watcher's socket, and
//! does nothing else. What it costs is what any server costs at least.
//!
//! It also shows how much the receiving side can take, and, told to leave out events, that the
//! receiving side notices.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;

use clap::Args;
use socket2::{Domain, Socket, Type};

use super::clock;
use super::conversation::Jobs;
use super::frames;
use super::schedule::Schedule;
use crate::dialect::optimization::{Naming, encode_event};
use crate::event::{EventView, JobKey};

/// What `jobwire bench floor-server` takes.
#[derive(Args, Debug)]
pub(super) struct FloorArguments {
    /// Watchers to wait for
    #[arg(long)]
    watchers: usize,
    /// Jobs
    #[arg(long)]
    jobs: u32,
    /// Bytes of an event
    #[arg(long)]
    size: usize,
    /// Frames that leave in one write, at most
    #[arg(long)]
    batch: u64,
    /// Leaves out one of so many writes; 0: none
    #[arg(long)]
    drop_every: u64,
}

/// Serves until everything is written; then waits to be ended.
pub(super) fn run(arguments: &FloorArguments) -> anyhow::Result<()> {
    let listener = listen()?;
    println!("listening on {}", listener.local_addr()?);
    let mut floor = Floor::new(arguments)?;
    for _ in 0..arguments.watchers {
        let (stream, _) = listener.accept()?;
        floor.welcome(stream)?;
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if let Some(schedule) = Order::read(&line).map(|order| order.schedule(arguments.jobs)) {
        floor.write_all(&schedule)?;
    }
    // Whoever has started us ends us; if that is gone, so are we.
    io::stdin().lock().read_line(&mut line)?;
    Ok(())
}

/// What the server is told when all watchers are there, as one line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Order {
    start: u64,
    interval: f64,
    first: u32,
    each: u32,
}

impl Order {
    /// Tells to write these events.
    pub(super) fn of(schedule: &Schedule) -> Self {
        let Schedule { start, interval, first, each, .. } = *schedule;
        Self { start, interval, first, each }
    }

    /// The line.
    pub(super) fn line(self) -> String {
        let Self { start, interval, first, each } = self;
        format!("{start} {interval} {first} {each}\n")
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            start: words.next()?.parse().ok()?,
            interval: words.next()?.parse().ok()?,
            first: words.next()?.parse().ok()?,
            each: words.next()?.parse().ok()?,
        })
    }

    fn schedule(self, jobs: u32) -> Schedule {
        let Self { start, interval, first, each } = self;
        Schedule { start, interval, jobs, first, each }
    }
}

/// With a queue that is long enough for a crowd.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}

struct Floor {
    jobs: Vec<Job>,
    batch: u64,
    size: usize,
    drop_every: u64,
    writes: u64,
}

struct Job {
    key: JobKey,
    watchers: Vec<TcpStream>,
    /// Frames of the next write.
    frames: Vec<u8>,
}

impl Floor {
    fn new(arguments: &FloorArguments) -> anyhow::Result<Self> {
        let names = Jobs::new();
        let job = |number| -> anyhow::Result<Job> {
            let key = JobKey::new("optimization", &names.id(number))?;
            Ok(Job { key, watchers: Vec::new(), frames: Vec::new() })
        };
        Ok(Self {
            jobs: (0..arguments.jobs).map(job).collect::<Result<_, _>>()?,
            batch: arguments.batch.max(1),
            size: arguments.size,
            drop_every: arguments.drop_every,
            writes: 0,
        })
    }

    /// Upgrades a connection and asks for its job.
    fn welcome(&mut self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        read_until(&mut stream, |bytes| bytes.ends_with(b"\r\n\r\n").then_some(()))?;
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo=\r\n\r\n",
        )?;
        let job = read_until(&mut stream, frames::short_of_client)?;
        let job: usize = std::str::from_utf8(&job)?.parse()?;
        stream.write_all(&frames::of_server(frames::TEXT, b"ready"))?;
        let job = self.jobs.get_mut(job).ok_or_else(|| anyhow::anyhow!("there is no job {job}"))?;
        job.watchers.push(stream);
        Ok(())
    }

    fn write_all(&mut self, schedule: &Schedule) -> anyhow::Result<()> {
        let mut done = 0;
        while done < schedule.events() {
            clock::sleep_until(schedule.due(done));
            let due = schedule.due_by(clock::now());
            let until = due.min(done + self.batch * u64::from(schedule.jobs));
            self.write(schedule, done..until)?;
            done = until;
        }
        Ok(())
    }

    /// One write for each socket.
    fn write(&mut self, schedule: &Schedule, places: Range<u64>) -> anyhow::Result<()> {
        let mut touched = Vec::new();
        for place in places {
            let stamp = schedule.stamp(place);
            let number = usize::try_from(stamp.job)?;
            let Some(job) = self.jobs.get_mut(number) else { continue };
            let payload = stamp.payload(self.size);
            let event = EventView {
                id: place + 1,
                event_type: "progress",
                stored_at: 0,
                payload: &payload,
                traceparent: None,
            };
            let naming = Naming::on_route(&job.key, "optimization");
            if job.frames.is_empty() {
                touched.push(number);
            }
            job.frames.extend_from_slice(&encode_event(&job.key, event, naming)?.message);
        }
        for number in touched {
            let Some(job) = self.jobs.get_mut(number) else { continue };
            for watcher in &mut job.watchers {
                self.writes += 1;
                if self.drop_every == 0 || !self.writes.is_multiple_of(self.drop_every) {
                    watcher.write_all(&job.frames)?;
                }
            }
            job.frames.clear();
        }
        Ok(())
    }
}

/// Reads until `found` finds what it looks for in all of it.
fn read_until<T>(stream: &mut TcpStream, found: impl Fn(&[u8]) -> Option<T>) -> anyhow::Result<T> {
    let (mut bytes, mut part) = (Vec::new(), [0; 1_024]);
    loop {
        let read = stream.read(&mut part)?;
        anyhow::ensure!(read > 0, "a watcher left");
        anyhow::ensure!(bytes.len() < 16 << 10, "a watcher said too much");
        bytes.extend_from_slice(part.get(..read).unwrap_or_default());
        if let Some(found) = found(&bytes) {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_given() {
        let schedule = Schedule { start: 7, interval: 333.25, jobs: 3, first: 1, each: 9 };
        let order = Order::of(&schedule);
        assert_eq!(Order::read(&order.line()), Some(order));
        assert_eq!(Order::read(""), None);
    }
}
