//! One watcher: connects, says what its conversation says, and counts what comes.

use std::io::{self, Read, Write};

use memchr::memmem;
use mio::net::TcpStream;

use super::conversation::{Conversation, Jobs, Step, Transport, Words};
use super::frames;
use super::scanner::{Scanner, Sink, WHOLE};
use super::stamp::Stamp;
use super::tally::{Sequence, Tally};

/// Bytes that are asked for at once.
const READ: usize = 64 * 1024;
/// Reads of one connection in a row, so that nobody has to wait for a flood to end.
const READS: usize = 16;
/// The answer to an upgrade is shorter than this.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What a connection is to watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Number of the job.
    pub(super) job: u32,
    /// Number of the first event it should get.
    pub(super) first: u32,
    /// Id of the last event it says it has seen.
    pub(super) after: u64,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the WebSocket: {0}")]
    ClosedWith(String),
    #[error("the server answered the request with {0:?}")]
    Refused(String),
    #[error("the server said {0:?}")]
    Said(String),
    #[error(transparent)]
    Masked(#[from] frames::MaskedByServer),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The answer to the request is not whole.
    Asking,
    /// This step's answer has not come.
    Greeting(usize),
    /// Events come.
    Following,
}

/// What all connections of one thread share.
pub(super) struct Company<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) jobs: &'a Jobs,
    pub(super) tally: &'a mut Tally,
    /// Events that were due earlier are not timed.
    pub(super) measured_from: u64,
    pub(super) buffer: &'a mut [u8],
}

/// Bytes of the buffer that the connections of a thread share.
pub(super) const BUFFER: usize = WHOLE + 64 + READ;

/// What a look at a connection brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing more is there.
    Drained,
    /// There may be more, and the system will not say so again.
    Unfinished,
}

/// One watcher.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    scanner: Scanner,
    stage: Stage,
    watch: Watch,
    sequence: Sequence,
    /// What was read and not used up.
    carry: Vec<u8>,
    /// What was said and not sent.
    outgoing: Vec<u8>,
    /// When it began to connect.
    pub(super) begun: u64,
    /// Whether it was seen to have everything that it had missed.
    pub(super) has_caught_up: bool,
}

impl Connection {
    /// A connection under way, whose request leaves when it stands.
    pub(super) fn new(stream: TcpStream, watch: Watch, request: Vec<u8>, begun: u64) -> Self {
        Self {
            stream,
            scanner: Scanner::frames(),
            stage: Stage::Asking,
            watch,
            sequence: Sequence::from(watch.first),
            carry: Vec::new(),
            outgoing: request,
            begun,
            has_caught_up: false,
        }
    }

    /// The socket, to be registered.
    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The job it watches.
    pub(super) fn job(&self) -> u32 {
        self.watch.job
    }

    /// What it has got.
    pub(super) fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// Whether events come.
    pub(super) fn is_following(&self) -> bool {
        self.stage == Stage::Following
    }

    /// Sends what waits and reads what is there.
    ///
    /// # Errors
    /// [`Ended`]: it is over.
    pub(super) fn look(&mut self, company: &mut Company<'_>) -> Result<Look, Ended> {
        self.send()?;
        for _ in 0..READS {
            let kept = self.carry.len();
            if let Some(place) = company.buffer.get_mut(..kept) {
                place.copy_from_slice(&self.carry);
            }
            let room = company.buffer.get_mut(kept..kept + READ).unwrap_or_default();
            let read = match self.stream.read(room) {
                Ok(0) => return Err(Ended::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Look::Drained);
                }
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    return Ok(Look::Drained);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.take(kept + read, company)?;
            self.send()?;
            // Less than there was room for: that was all.
            if read < READ {
                return Ok(Look::Drained);
            }
        }
        Ok(Look::Unfinished)
    }

    /// Uses the first `length` bytes of the buffer; keeps what is left of them.
    fn take(&mut self, length: usize, company: &mut Company<'_>) -> Result<(), Ended> {
        let Company { conversation, jobs, tally, measured_from, buffer } = company;
        let mut bytes = buffer.get(..length).unwrap_or_default();
        self.carry.clear();
        if self.stage == Stage::Asking {
            let Some(after) = self.answered(bytes, conversation)? else {
                self.carry.extend_from_slice(bytes);
                return Ok(());
            };
            bytes = bytes.get(after..).unwrap_or_default();
            let words = Words { jobs, job: self.watch.job, after: self.watch.after };
            self.step(0, conversation, words);
        }
        let mut reception = Reception {
            tally,
            conversation,
            words: Words { jobs, job: self.watch.job, after: self.watch.after },
            sequence: &mut self.sequence,
            stage: &mut self.stage,
            outgoing: &mut self.outgoing,
            now: super::clock::now(),
            measured_from: *measured_from,
            ended: None,
        };
        let used = self.scanner.scan(bytes, &mut reception)?;
        if let Some(ended) = reception.ended {
            return Err(ended);
        }
        self.carry.extend_from_slice(bytes.get(used..).unwrap_or_default());
        Ok(())
    }

    /// Where the answer to the request ends, if it is whole.
    fn answered(
        &mut self,
        bytes: &[u8],
        conversation: &Conversation,
    ) -> Result<Option<usize>, Ended> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            if bytes.len() > LONGEST_ANSWER {
                return Err(Ended::Refused("headers without an end".into()));
            }
            return Ok(None);
        };
        if !bytes.starts_with(conversation.status()) {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(Ended::Refused(String::from_utf8_lossy(line).into_owned()));
        }
        if conversation.transport == Transport::EventStream {
            self.scanner = Scanner::plain();
        }
        Ok(Some(end + 4))
    }

    fn step(&mut self, step: usize, conversation: &Conversation, words: Words<'_>) {
        begin_step(step, &mut self.stage, &mut self.outgoing, conversation, words);
    }

    fn send(&mut self) -> Result<(), Ended> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(sent) if sent == self.outgoing.len() => self.outgoing = Vec::new(),
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return Ok(()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }
}

/// Says what this step says; after the last one events are expected.
fn begin_step(
    step: usize,
    stage: &mut Stage,
    outgoing: &mut Vec<u8>,
    conversation: &Conversation,
    words: Words<'_>,
) {
    *stage = match conversation.steps.get(step) {
        None => Stage::Following,
        Some(next) => {
            outgoing.extend(conversation.saying(next, words));
            Stage::Greeting(step)
        }
    };
}

/// Where the frames of one read go.
struct Reception<'a> {
    tally: &'a mut Tally,
    conversation: &'a Conversation,
    words: Words<'a>,
    sequence: &'a mut Sequence,
    stage: &'a mut Stage,
    outgoing: &'a mut Vec<u8>,
    now: u64,
    measured_from: u64,
    ended: Option<Ended>,
}

impl Sink for Reception<'_> {
    fn event(&mut self, stamp: Stamp) {
        if stamp.job != self.words.job {
            self.tally.misdelivered += 1;
            return;
        }
        self.tally.count(self.sequence.arrive(stamp.number));
        if stamp.due >= self.measured_from {
            self.tally.latency.saturating_record(self.now.saturating_sub(stamp.due));
        }
    }

    fn frame(&mut self, opcode: u8, tail: &[u8], has_events: bool) {
        match opcode {
            frames::PING => self.outgoing.extend(frames::of_client(frames::PONG, tail)),
            frames::CLOSE => self.ended = Some(Ended::ClosedWith(reason(tail))),
            frames::PONG => {}
            _ => self.message(tail, has_events),
        }
    }
}

impl Reception<'_> {
    fn message(&mut self, tail: &[u8], has_events: bool) {
        let conversation = self.conversation;
        if let Some(ping) = &conversation.ping
            && tail.ends_with(ping.as_bytes())
        {
            self.outgoing.extend(conversation.frame(&conversation.pong));
        }
        if has_events {
            return;
        }
        if let Some(refusal) = &conversation.refusal
            && tail.starts_with(refusal.as_bytes())
        {
            self.ended = Some(Ended::Said(String::from_utf8_lossy(tail).into_owned()));
        }
        if let Stage::Greeting(step) = *self.stage
            && let Some(Step { until, .. }) = conversation.steps.get(step)
            && memmem::find(tail, until.as_bytes()).is_some()
        {
            begin_step(step + 1, self.stage, self.outgoing, conversation, self.words);
        }
    }
}

/// Code and text of a close frame, for people.
fn reason(payload: &[u8]) -> String {
    match payload.split_first_chunk::<2>() {
        Some((code, text)) => {
            format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(text))
        }
        None => "no code".into(),
    }
}
