//! The kernel's packet filter on this machine: packets that are lost, and not only late.
//!
//! It takes the right to administer the network. Who has it not says so with
//! `JOBWIRE_TESTS_WITHOUT_ROOT=1`, and is then told which tests show nothing.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::is_without_root;

/// Tables of this process, so that each test has its own.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Rules that apply as long as this lives.
pub struct PacketFilter {
    table: String,
}

impl PacketFilter {
    /// Loses so many of a hundred packets from and to these ports, of both directions. `None`: the
    /// right is missing, and somebody has said that it is.
    #[allow(dead_code, reason = "what tests/reliability injects faults with")]
    pub fn losing(percent: u8, ports: &[u16]) -> Option<Self> {
        assert!((1..=100).contains(&percent) && !ports.is_empty(), "something to lose");
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let (ports, kept) = (ports.join(", "), 100 - percent);
        Self::dropping(
            ["dport", "sport"]
                .map(|way| format!("tcp {way} {{ {ports} }} numgen random mod 100 >= {kept}")),
        )
    }

    /// Loses everything of the connection between two ports; `None` as above.
    pub fn cutting_off(client: u16, server: u16) -> Option<Self> {
        Self::dropping([(client, server), (server, client)].map(|(from, to)| {
            // Another connection may come from the same port.
            format!("tcp sport {from} tcp dport {to}")
        }))
    }

    fn dropping(matches: [String; 2]) -> Option<Self> {
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let table = format!("jobwire_{}_{number}", std::process::id());
        let [first, second] = matches;
        let rules = format!(
            "add table inet {table}\n\
             add chain inet {table} lossy {{ type filter hook input priority 0; }}\n\
             add rule inet {table} lossy {first} counter drop\n\
             add rule inet {table} lossy {second} counter drop\n"
        );
        match apply(&rules) {
            Ok(()) => Some(Self { table }),
            Err(_) if is_without_root("no packet is lost") => None,
            Err(problem) => panic!(
                "{problem}; this test needs nft and the right to use it: run tests/prepare and be \
                 root, or leave it out with JOBWIRE_TESTS_WITHOUT_ROOT=1"
            ),
        }
    }

    /// Packets lost so far.
    pub fn lost(&self) -> u64 {
        let listed = Command::new("nft").args(["list", "table", "inet", &self.table]).output();
        let listed = String::from_utf8(listed.expect("nft").stdout).expect("text");
        let counts = listed.split("counter packets ").skip(1);
        counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for PacketFilter {
    fn drop(&mut self) {
        if let Err(problem) = apply(&format!("delete table inet {}\n", self.table)) {
            eprintln!("the packet filter stays: {problem}");
        }
    }
}

fn apply(rules: &str) -> Result<(), String> {
    let run = || {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut nft = command.spawn()?;
        // Taken, so that it is closed: nft reads to the end.
        nft.stdin.take().expect("a pipe").write_all(rules.as_bytes())?;
        nft.wait_with_output()
    };
    let output = run().map_err(|error: std::io::Error| format!("nft: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
