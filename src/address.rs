//! Whose connection it is: the client's address, also behind proxies. Pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hyper::HeaderMap;
use ipnet::IpNet;

/// Where proxies write whom they speak for; each appends the address of who spoke to it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Why an entry is no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no IP address and no network such as 10.0.0.0/8 or fd00::/8")]
pub struct MalformedNetwork;

/// The proxies whose word on a client's address counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// The proxies with these addresses or in these networks.
    ///
    /// # Errors
    /// The first entry that is neither, with [`MalformedNetwork`].
    pub fn of(entries: &[String]) -> Result<Self, (&str, MalformedNetwork)> {
        let parse = |entry: &String| entry.parse().or_else(|_| entry.parse().map(IpAddr::into));
        let networks = entries
            .iter()
            .map(|entry| parse(entry).map_err(|_| (entry.as_str(), MalformedNetwork)));
        networks.collect::<Result<Arc<[IpNet]>, _>>().map(Self)
    }

    /// The client behind a connection: who is at its other end, or, if that is a trusted proxy,
    /// the last in the chain whom no trusted proxy stands for. A chain that cannot be read
    /// proves nothing.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let mut client = peer;
        for value in headers.get_all(FORWARDED_FOR).iter().rev() {
            // What a client wrote stands first, and cannot spoil what the proxies appended.
            for entry in value.as_bytes().rsplit(|byte| *byte == b',') {
                if !self.trusts(client) {
                    return client;
                }
                let Some(address) = parse(entry) else { return peer };
                client = address;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address of the chain; some proxies write a port, too.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let address = entry.parse().or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// What a client cannot change at will: an IPv4 address, or the first half of an IPv6 address.
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(proxies: &[&str], peer: &str, chain: &[&str]) -> String {
        let entries: Vec<String> = proxies.iter().map(ToString::to_string).collect();
        let proxies = TrustedProxies::of(&entries).unwrap();
        let mut headers = HeaderMap::new();
        for line in chain {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(FORWARDED_FOR, line);
        }
        proxies.client(address(peer), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_client_is_the_last_one_before_the_trusted_proxies() {
        let chains: [&[&str]; 5] = [
            &["198.51.100.7"],
            &["6.6.6.6, 198.51.100.7, 10.0.0.2"],
            &["6.6.6.6", "198.51.100.7,10.9.9.9 , 10.0.0.2"],
            &["not read any more, 198.51.100.7"],
            &["\u{e9}, 198.51.100.7", "10.0.0.2"],
        ];
        for chain in chains {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", chain), "198.51.100.7", "{chain:?}");
        }
    }

    #[test]
    fn where_all_are_trusted_the_client_is_the_first() {
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_chain_that_cannot_be_read_is_not_believed() {
        for chain in
            ["", "unknown", "198.51.100.7, _hidden", "198.51.100.7,", "1.2.3.4.5", "\u{e9}"]
        {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[chain]), "10.0.0.1", "{chain:?}");
        }
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (entry, told) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
        ] {
            assert_eq!(client(&["::1"], "::1", &[entry]), told);
        }
        assert_eq!(client(&["10.0.0.1"], "::ffff:10.0.0.1", &["192.0.2.9"]), "192.0.2.9");
    }

    #[test]
    fn of_an_ipv6_address_the_network_counts() {
        let counted = |text| counted(address(text)).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
        assert_ne!(counted("2001:db8:1:3::"), counted("2001:db8:1:2::"));
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn an_entry_is_an_address_or_a_network() {
        for entry in ["", "10.0.0.0/33", "10.0.0", "proxy.example", "10.0.0.1-10.0.0.9", "/8"] {
            let entries = ["10.0.0.1".to_owned(), entry.to_owned()];
            let told = TrustedProxies::of(&entries).map(|_| ());
            assert_eq!(told, Err((entry, MalformedNetwork)));
        }
    }
}
