//! What clients may take: connections, subscriptions, messages.

use std::num::NonZeroU32;

use super::{ConfigError, Settings, invalid, within};
use crate::address::TrustedProxies;
use crate::rate::Rate;

const MOST_CONNECTIONS: usize = 10_000_000;
const MOST_A_SECOND: u32 = 1_000_000;

/// Limits on what clients take.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// On connections.
    pub connections: ConnectionLimits,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// Messages that a client may send on one connection; `None`: any number.
    pub message_rate: Option<Rate>,
    /// Whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
}

/// Limits on connections; `None`: no limit.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Of the process.
    pub in_all: usize,
    /// Of one client's address.
    pub per_address: Option<usize>,
    /// Connects of one client's address.
    pub connects_per_address: Option<Rate>,
    /// With tokens of one subject.
    pub per_subject: Option<usize>,
}

impl ClientLimits {
    pub(super) fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let max_subscriptions =
            within("max_subscriptions", settings.max_subscriptions.unwrap_or(1_000), 1, 1_000_000)?;
        let message_rate = rate("max_message_rate", settings.max_message_rate.unwrap_or(100))?
            .map(|per_second| message_rate(per_second, max_subscriptions));
        Ok(Self {
            connections: ConnectionLimits::resolve(settings)?,
            max_subscriptions,
            message_rate,
            trusted_proxies: trusted(settings.trusted_proxies.as_deref().unwrap_or_default())?,
        })
    }
}

impl ConnectionLimits {
    fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let per_second = settings.max_connects_per_address.unwrap_or(0);
        let count = |setting, most: Option<usize>| {
            let most = within(setting, most.unwrap_or(0), 0, MOST_CONNECTIONS)?;
            Ok((most > 0).then_some(most))
        };
        Ok(Self {
            in_all: within(
                "max_connections",
                settings.max_connections.unwrap_or(20_000),
                1,
                MOST_CONNECTIONS,
            )?,
            per_address: count(
                "max_connections_per_address",
                settings.max_connections_per_address,
            )?,
            connects_per_address: rate("max_connects_per_address", per_second)?.map(connect_rate),
            per_subject: count(
                "max_connections_per_subject",
                settings.max_connections_per_subject,
            )?,
        })
    }
}

/// So many connects a second. Two seconds' worth at once: so many in each second then always
/// fit, also at the end of one and the beginning of the next.
pub fn connect_rate(per_second: NonZeroU32) -> Rate {
    Rate::new(per_second, per_second.get().saturating_mul(2))
}

/// So many messages a second. At once also as many as it takes to leave every job and subscribe
/// to others: what a client does that comes back.
fn message_rate(per_second: NonZeroU32, max_subscriptions: usize) -> Rate {
    let subscriptions = u32::try_from(max_subscriptions).unwrap_or(u32::MAX);
    Rate::new(per_second, per_second.get().max(subscriptions).saturating_mul(2))
}

/// A rate by the second; 0: none.
fn rate(setting: &'static str, per_second: u32) -> Result<Option<NonZeroU32>, ConfigError> {
    if per_second > MOST_A_SECOND {
        let problem = format!("{per_second} is not between 0 (no limit) and {MOST_A_SECOND}");
        return Err(invalid(setting, problem));
    }
    Ok(NonZeroU32::new(per_second))
}

fn trusted(entries: &[String]) -> Result<TrustedProxies, ConfigError> {
    TrustedProxies::of(entries)
        .map_err(|(entry, error)| invalid("trusted_proxies", format!("{entry:?} {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::rate::Bucket;

    fn limits(change: impl FnOnce(&mut Settings)) -> Result<ClientLimits, ConfigError> {
        let mut settings = Settings::default();
        change(&mut settings);
        ClientLimits::resolve(&settings)
    }

    #[test]
    fn clients_behind_one_address_are_not_limited_unless_configured() {
        for limits in [
            limits(|_| ()),
            limits(|settings| {
                settings.max_connections_per_address = Some(0);
                settings.max_connects_per_address = Some(0);
                settings.max_connections_per_subject = Some(0);
            }),
        ] {
            let ConnectionLimits { per_address, connects_per_address, per_subject, .. } =
                limits.unwrap().connections;
            assert_eq!((per_address, connects_per_address, per_subject), (None, None, None));
        }
        assert_eq!(
            limits(|settings| settings.max_message_rate = Some(0)).unwrap().message_rate,
            None
        );
    }

    #[test]
    fn a_client_may_send_twice_as_many_messages_at_once_as_it_may_have_subscriptions() {
        for (subscriptions, at_once) in [(1_000, 2_000), (3, 200)] {
            let limits = limits(|settings| settings.max_subscriptions = Some(subscriptions));
            let (rate, now) = (limits.unwrap().message_rate.unwrap(), Instant::now());
            let mut bucket = Bucket::default();
            let mut taken = |now| (0..10_000).take_while(|_| bucket.take(rate, now)).count();
            assert_eq!((taken(now), taken(now + Duration::from_secs(1))), (at_once, 100));
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_told_by_the_name_of_its_setting() {
        let told = |result: Result<ClientLimits, ConfigError>| result.unwrap_err().to_string();
        let told = [
            told(limits(|settings| settings.max_connects_per_address = Some(1_000_001))),
            told(limits(|settings| settings.max_message_rate = Some(u32::MAX))),
            told(limits(|settings| settings.max_connections_per_address = Some(10_000_001))),
            told(limits(|settings| settings.trusted_proxies = Some(vec!["10.0.0.1/33".into()]))),
        ];
        let names = [
            "max_connects_per_address: ",
            "max_message_rate: ",
            "max_connections_per_address: ",
            "trusted_proxies: \"10.0.0.1/33\" is no IP address",
        ];
        assert!(told.iter().zip(names).all(|(told, name)| told.starts_with(name)), "{told:?}");
    }
}
