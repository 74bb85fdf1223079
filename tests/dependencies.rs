//! What `deny.toml` forbids, checked against the lock file without any further tool.

use std::path::Path;

fn read(name: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("it can be read").parse().expect("it is TOML")
}

fn packages() -> Vec<toml::Table> {
    let lock = read("Cargo.lock");
    let packages = lock["package"].as_array().expect("a lock file lists packages");
    packages.iter().map(|package| package.as_table().expect("a package is a table").clone()).collect()
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    let deny = read("deny.toml");
    let banned = deny["bans"]["deny"].as_array().expect("deny.toml lists bans");
    let banned: Vec<&str> = banned.iter().filter_map(|ban| ban["name"].as_str()).collect();
    assert!(banned.contains(&"openssl-sys"));
    for package in packages() {
        let name = package["name"].as_str().expect("a package has a name");
        assert!(!banned.contains(&name), "{name} is banned by deny.toml");
    }
}

#[test]
fn every_dependency_comes_from_the_registry_with_a_checksum() {
    for package in packages() {
        let name = package["name"].as_str().expect("a package has a name");
        if name == "tidegate" {
            continue;
        }
        let source = package["source"].as_str().unwrap_or_default();
        assert!(source.starts_with("registry+"), "{name} comes from `{source}`");
        assert!(package.contains_key("checksum"), "{name} has no checksum");
    }
}

/// An older lapin can ack the wrong message after a recovery; an older h2 has open advisories.
#[test]
fn versions_with_known_traps_are_not_in_the_tree() {
    let at_least = [("lapin", [4, 12, 3]), ("h2", [0, 4, 16])];
    for (name, least) in at_least {
        let found: Vec<_> = packages().into_iter().filter(|package| package["name"].as_str() == Some(name)).collect();
        assert!(!found.is_empty(), "{name} is not in the tree");
        for package in found {
            let version = package["version"].as_str().expect("a package has a version");
            let parts: Vec<u64> = version.split('.').filter_map(|part| part.parse().ok()).collect();
            assert!(parts[..] >= least[..], "{name} {version} is older than {least:?}");
        }
    }
}
