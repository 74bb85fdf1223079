//! The dashboard's files, as a browser fetches them; what it makes of them is tested in `dashboard.rs`.

use super::events::ask;
use super::support::world::{Served, Station};
use tidegate::simulator::SimulatorSettings;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_without_a_token_under_a_strict_policy_and_is_not_sent_twice() {
    let station = Station::start(SimulatorSettings::default());
    let config = station.config("", "", "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", "[http]\ntokens = [\"let-me-look\"]")).unwrap();
    let served = Served::start(&config).await;
    let page = ask(served.address(), "/", &[]).await;
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let tag = header("etag");
    let again = ask(served.address(), "/", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status().as_u16(), again.text().await.unwrap().len()), (304, 0));

    let text = page.text().await.unwrap();
    let quoted =
        text.split('"').filter(|word| word.ends_with(".js") || word.ends_with(".css") || word.ends_with(".svg"));
    let files: Vec<&str> = quoted.collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(ask(served.address(), &format!("/{file}"), &[]).await.status(), 200, "{file}");
    }
}
