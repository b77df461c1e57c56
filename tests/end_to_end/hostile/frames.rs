//! Frames that RFC 6455 forbids, at the endpoint that real clients use.

use super::Neighbourhood;
use crate::harness::raw_socket::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RawSocket, TEXT, declaring, frame, unmasked,
};
use crate::harness::within;

/// Largest message a client may send.
const LARGEST_REQUEST: usize = 64 << 10;

/// What the gateway's memory may grow by, whatever is sent.
const GROWTH: usize = 5 << 20;

/// Frames of a message that never ends, of which none has a payload.
const EMPTY_FRAGMENTS: usize = 200_000;

#[tokio::test]
async fn frames_against_the_rules_end_the_connection_with_the_right_code_and_nothing_else() {
    let mut neighbourhood = Neighbourhood::start(&[]).await;
    let before = neighbourhood.deployment.gateway.begin_memory_peak();
    for (offence, bytes, code) in offences() {
        let mut socket = RawSocket::connect(neighbourhood.deployment.gateway.address).await;
        socket.send(&bytes).await;
        let closed = within(&offence, socket.close_code()).await;
        assert_eq!(closed, Some(code), "{offence}");
        neighbourhood.assert_undisturbed().await;
    }
    let grown = neighbourhood.deployment.gateway.peak_memory().saturating_sub(before);
    assert!(grown < GROWTH, "by {grown} bytes");
    neighbourhood.assert_unharmed().await;
}

#[tokio::test]
async fn a_message_in_fragments_of_one_byte_is_read_and_a_ping_between_them_answered() {
    let neighbourhood = Neighbourhood::start(&[]).await;
    let mut socket = RawSocket::connect(neighbourhood.deployment.gateway.address).await;
    let message = format!(r#"{{"type":"ping","x":"{}"}}"#, "ü".repeat(20_000));
    let (first, rest) = message.as_bytes().split_first().unwrap();
    let mut bytes = frame(TEXT, &[*first]);
    bytes.extend(frame(FIN | PING, b"between"));
    bytes.extend(rest.iter().flat_map(|byte| frame(CONTINUATION, &[*byte])));
    bytes.extend(frame(FIN | CONTINUATION, b""));
    socket.send(&bytes).await;

    let pong = socket.next().await.unwrap();
    assert_eq!((pong.first, &*pong.payload), (FIN | PONG, &b"between"[..]));
    let answer = socket.next().await.unwrap();
    assert_eq!(answer.first, FIN | TEXT);
    assert_eq!(answer.payload, br#"{"type":"pong"}"#);
    neighbourhood.assert_unharmed().await;
}

#[tokio::test]
async fn fragments_without_a_payload_cost_nothing_however_many_they_are() {
    let neighbourhood = Neighbourhood::start(&[]).await;
    let gateway = &neighbourhood.deployment.gateway;
    let before = gateway.begin_memory_peak();
    let mut socket = RawSocket::connect(gateway.address).await;
    socket.send(&frame(TEXT, b"{")).await;
    socket.send(&frame(CONTINUATION, b"").repeat(EMPTY_FRAGMENTS)).await;
    socket.send(&frame(FIN | CONTINUATION, br#""type":"ping"}"#)).await;
    assert_eq!(socket.next().await.unwrap().payload, br#"{"type":"pong"}"#);
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < GROWTH, "by {grown} bytes");
    neighbourhood.assert_unharmed().await;
}

#[tokio::test]
async fn a_close_is_answered_with_its_own_code() {
    let neighbourhood = Neighbourhood::start(&[]).await;
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut socket = RawSocket::connect(neighbourhood.deployment.gateway.address).await;
        socket.send(&close(code, b"bye")).await;
        assert_eq!(socket.close_code().await, Some(code));
    }
    let mut socket = RawSocket::connect(neighbourhood.deployment.gateway.address).await;
    socket.send(&frame(FIN | CLOSE, b"")).await;
    assert_eq!(socket.next().await.unwrap().first, FIN | CLOSE, "a close without a code too");
    neighbourhood.assert_unharmed().await;
}

/// What is wrong, the bytes, and the close code that they deserve.
fn offences() -> Vec<(String, Vec<u8>, u16)> {
    let mut offences = Vec::new();
    let mut add =
        |offence: &str, bytes: Vec<u8>, code| offences.push((offence.into(), bytes, code));
    for bit in [0x40, 0x20, 0x10] {
        add(&format!("reserved bit {bit:#x}"), frame(FIN | bit | TEXT, b"{}"), 1002);
        add(&format!("reserved bit {bit:#x} of a ping"), frame(FIN | bit | PING, b""), 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(&format!("opcode {opcode}"), frame(FIN | opcode, b"x"), 1002);
    }
    for opcode in [TEXT, BINARY, PING, CLOSE] {
        add(&format!("opcode {opcode} without a mask"), unmasked(FIN | opcode, b""), 1002);
    }
    for opcode in [PING, PONG, CLOSE] {
        add(&format!("a long {opcode}"), frame(FIN | opcode, &[b'x'; 126]), 1002);
        add(&format!("half a {opcode}"), frame(opcode, b""), 1002);
    }
    add("a continuation of nothing", frame(FIN | CONTINUATION, b"x"), 1002);
    add(
        "a continuation of a whole message",
        [frame(FIN | TEXT, b"{}"), frame(FIN | CONTINUATION, b"x")].concat(),
        1002,
    );
    for opcode in [TEXT, BINARY] {
        let bytes = [frame(TEXT, b"{"), frame(FIN | opcode, b"}")].concat();
        add(&format!("a new {opcode} within a message"), bytes, 1002);
    }
    offences.extend(lengths());
    offences.extend(texts());
    offences.extend(closes());
    offences
}

fn lengths() -> Vec<(String, Vec<u8>, u16)> {
    let mut offences: Vec<(String, Vec<u8>, u16)> =
        [LARGEST_REQUEST as u64 + 1, 1 << 32, 1 << 62, 1 << 63, (1 << 63) + 5, u64::MAX]
            .into_iter()
            .map(|length| (format!("{length} bytes"), declaring(FIN | TEXT, length), 1009))
            .collect();
    let bytes = frame(CONTINUATION, b"x").repeat(LARGEST_REQUEST);
    let bytes = [frame(TEXT, b"x"), bytes].concat();
    offences.push(("too many fragments of one byte".into(), bytes, 1009));
    let large = frame(FIN | CONTINUATION, &[b'x'; LARGEST_REQUEST]);
    let bytes = [frame(TEXT, b"x"), large].concat();
    offences.push(("a large fragment after a small one".into(), bytes, 1009));
    offences
}

fn texts() -> Vec<(String, Vec<u8>, u16)> {
    let in_fragments = |parts: &[&[u8]]| {
        let last = parts.len() - 1;
        let frames = parts.iter().enumerate().map(|(at, part)| {
            let opcode = if at == 0 { TEXT } else { CONTINUATION };
            frame(opcode | if at == last { FIN } else { 0 }, part)
        });
        frames.flatten().collect::<Vec<u8>>()
    };
    [
        ("text that is not UTF-8", frame(FIN | TEXT, b"\xff"), 1007),
        ("half a surrogate", frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("an overlong slash", frame(FIN | TEXT, b"\xc0\xaf"), 1007),
        ("half a character", frame(FIN | TEXT, b"\xce"), 1007),
        ("half a character over fragments", in_fragments(&[b"\xf0\x9f", b"\x90", b""]), 1007),
        ("a wrong half over fragments", in_fragments(&[b"\xce", b"\xce"]), 1007),
        ("a wrong fragment of more", in_fragments(&[b"x", b"\xff", b"x"]), 1007),
        ("a binary message", frame(FIN | BINARY, b"{}"), 1003),
        (
            "a binary message in fragments",
            { [frame(BINARY, b"{"), frame(FIN | CONTINUATION, b"}")].concat() },
            1003,
        ),
    ]
    .map(|(offence, bytes, code)| (offence.into(), bytes, code))
    .into()
}

fn closes() -> Vec<(String, Vec<u8>, u16)> {
    let mut offences: Vec<(String, Vec<u8>, u16)> =
        [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
            .into_iter()
            .map(|code| (format!("close code {code}"), close(code, b""), 1002))
            .collect();
    offences.push(("half a close code".into(), frame(FIN | CLOSE, b"\x03"), 1002));
    offences.push(("a reason that is not UTF-8".into(), close(1000, b"\xff"), 1007));
    offences
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}
