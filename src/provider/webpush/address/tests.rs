//! Which addresses are global, and that no other is dialled.

use futures::FutureExt;

use super::*;

const CORPUS: &str = include_str!("../../../../tests/corpus/hostile_endpoints.txt");

fn found(addresses: &[&str]) -> Resolver {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    Arc::new(move |_, port| {
        let found = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        async move { Ok(found) }.boxed()
    })
}

async fn allowed(resolver: &Resolver) -> Result<Vec<String>, String> {
    let found = resolver("push.example".to_owned(), 443).await.map_err(|error| error.to_string())?;
    Ok(found.iter().map(|address| address.ip().to_string()).collect())
}

/// The system's own look-up is asked, and whatever it makes of a host is vetted.
#[tokio::test]
async fn promise_12_no_address_that_is_not_global_passes_whatever_the_system_makes_of_a_host() {
    let resolver = guarded(crate::provider::http2::system_resolver(), Arc::new([]));
    let endpoints = CORPUS.lines().filter_map(|line| line.strip_prefix("endpoint_address_not_allowed https://"));
    let mut count = 0;
    for host in endpoints.map(|rest| rest.split('/').next().unwrap_or_default()) {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let error = resolver(host.clone(), 443).await.expect_err(&host);
        assert!(error.get_ref().is_some_and(|inner| inner.is::<NoAddressAllowed>()), "{host}: {error}");
        count += 1;
    }
    // Even what is no host to us: `getaddrinfo` reads these as 127.0.0.1.
    for odd in ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "::ffff:127.0.0.1"] {
        if let Ok(addresses) = resolver(odd.to_owned(), 443).await {
            panic!("{odd} became {addresses:?}");
        }
    }
    assert!(count >= 50, "only {count} were looked up");
}

#[tokio::test]
async fn of_a_names_addresses_only_those_are_dialled_that_may_be() {
    let mixed = guarded(found(&["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "::ffff:8.8.8.8"]), Arc::new([]));
    assert_eq!(allowed(&mixed).await, Ok(vec!["8.8.8.8".to_owned(), "2606:4700::1111".to_owned()]));
    let none = guarded(found(&["127.0.0.1", "fe80::1"]), Arc::new([]));
    assert!(allowed(&none).await.is_err());
    let nothing = guarded(found(&[]), Arc::new([]));
    assert_eq!(allowed(&nothing).await, Ok(Vec::new()), "a name without addresses is another matter");
    let network = "10.1.2.0/24".parse().expect("a network");
    let private = guarded(found(&["10.1.2.3", "10.1.3.3"]), Arc::new([network]));
    assert_eq!(allowed(&private).await, Ok(vec!["10.1.2.3".to_owned()]));
}

#[test]
fn what_the_worlds_services_have_is_global() {
    for good in [
        "8.8.8.8",
        "17.188.1.1",
        "34.107.243.93",
        "142.250.1.95",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2a00:1450::5f",
        "2606:4700::1",
        "2403:300::1",
        "2001:4860::8888",
        "64:ff9b::808:808",
    ] {
        assert!(is_global(good.parse().expect("an address")), "{good}");
    }
}

#[test]
fn networks_are_read_strictly_and_hold_what_they_should() {
    for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "x/8", "10.0.0.0/-1"] {
        assert!(bad.parse::<Network>().is_err(), "{bad}");
    }
    let holds = |network: &str, address: &str| {
        network.parse::<Network>().expect("a network").contains(address.parse().expect("an address"))
    };
    assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
    assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("::1/128", "::1") && !holds("::1/128", "::2") && holds("::/0", "fe80::1"));
    assert!(holds("127.0.0.1/32", "127.0.0.1") && !holds("127.0.0.1/32", "127.0.0.2"));
}
