//! The dashboard in a real browser, during a real burst: what is seen moves, a pause stops a route, a changed limit is there
//! within a second, nothing is complained of, nothing foreign is asked for, and it fits on a phone. Pictures are left in
//! target/screens/.

mod support;

#[path = "dashboard/browser.rs"]
mod browser;

use std::time::Duration;

use browser::Browser;
use support::until;
use support::world::{Served, Station, job, jobs};
use tidegate::simulator::{DeadTokens, Faults, Latency, ServerError, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const FCM: &str = ".row[data-route='chat/fcm']";
const APNS: &str = ".row[data-route='chat/apns']";

fn simulator() -> SimulatorSettings {
    let latency = Latency::LogNormal { median: Duration::from_millis(30), sigma: 0.4 };
    let dead_tokens = DeadTokens { share: 0.02, ..DeadTokens::default() };
    let server_error = Some(ServerError { share: 0.01, status: 500, retry_after: None });
    let faults = Faults { latency, dead_tokens, server_error, ..Faults::default() };
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = faults.clone();
    settings.fcm.faults = faults;
    settings
}

/// Waits until a script returns true.
async fn seen(browser: &Browser, what: &str, script: &str) {
    until(what, MINUTE, || async { (browser.run(script).await == true).then_some(()) }).await;
}

/// The charts' picture as one number: another picture has another.
const DRAWN: &str =
    "return [...document.querySelectorAll('.chart canvas')].map((canvas) => canvas.toDataURL().length).join()";

/// Counts the page's own seconds, which the uptime shows, from the moment at which a form is sent until the new limit is
/// there: a loaded machine's clock says nothing.
const TICKING: &str = "
    let ticks = 0;
    const observe = (selector, seen) =>
        new MutationObserver(seen).observe(document.querySelector(selector), { childList: true, characterData: true, subtree: true });
    document.addEventListener('submit', () => (ticks = 0), true);
    observe('#uptime', () => ticks++);
    observe('.row[data-route=\"chat/apns\"] .rate-limit', () => (window.ticksUntilShown ??= ticks));
";

async fn fits(browser: &Browser) {
    let size = browser.run("return [document.documentElement.scrollWidth, innerWidth]").await;
    assert!(size[0].as_u64() <= size[1].as_u64(), "it scrolls sideways: {size}");
    let wide = "return [...document.querySelectorAll('main *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1).map((element) => element.className).join()";
    assert_eq!(browser.run(wide).await, "", "nothing stands out at the right");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_burst_it_shows_what_goes_on_and_has_a_hand_on_it() {
    let station = Station::start(simulator());
    let config = station.config("", "", "rate = \"400/s\"\nburst = 40\nmax_attempts = 2\n");
    let served = Served::start(&config).await;
    let address = served.address().to_owned();
    let url = format!("http://{address}/");
    let browser = Browser::start().await;
    browser.view(1440, 900, "light").await;
    browser.open(&url).await;
    seen(&browser, "both routes are there", "return document.querySelectorAll('.row[data-route]').length === 2").await;
    assert!(browser.text("#outcomes").await.contains("No push has ended yet"));
    browser.screenshot("1-empty-light").await;

    for first in (0..40_000).step_by(4_000) {
        assert_eq!(served.post(jobs(first + 4_000).skip(first)).await.0, 202);
    }
    seen(&browser, "it is delivered", "return parseFloat(document.querySelector('#f-delivered').innerText) > 0").await;
    seen(
        &browser,
        "outcomes are told by reason",
        "return document.querySelector('#outcomes').innerText.includes('UNREGISTERED')",
    )
    .await;
    let before = browser.run(DRAWN).await;
    until("the charts move", MINUTE, || async { (browser.run(DRAWN).await != before).then_some(()) }).await;
    seen(
        &browser,
        "a rate limit is felt and told",
        &format!("return document.querySelector({FCM:?}).innerText.includes('at its rate limit')"),
    )
    .await;
    browser.screenshot("2-burst-light").await;

    // A pause takes two presses, and stops the route.
    let pause = format!("{FCM} .pause");
    browser.click(&pause).await;
    assert_eq!(browser.text(&pause).await, "Sure?");
    browser.click(&pause).await;
    seen(
        &browser,
        "it says so",
        &format!("return document.querySelector({FCM:?}).innerText.includes('Paused by an operator')"),
    )
    .await;
    assert_eq!(browser.text(&pause).await, "Resume");
    assert!(browser.text("#verdict").await.contains("1 of 2 routes paused"));
    seen(
        &browser,
        "it stands",
        &format!("return document.querySelector({FCM:?} + ' .delivered').innerText.trim() === '0/s'"),
    )
    .await;
    let attempts = || async { served.status().await["routes"][1]["attempts"].as_u64().unwrap() };
    let stopped = attempts().await;
    let moved = served.status().await["routes"][0]["attempts"].as_u64();
    until("the other goes on", MINUTE, || async {
        (served.status().await["routes"][0]["attempts"].as_u64() > moved).then_some(())
    })
    .await;
    assert_eq!(attempts().await, stopped, "nothing more is sent");
    browser.view(1440, 900, "dark").await;
    browser.screenshot("3-paused-dark").await;

    // A limit, and one that is none.
    browser.click(&format!("{APNS} .limits")).await;
    assert_eq!(browser.run("return document.querySelector('#limits input[name=rate]').value").await, "400/s");
    browser.type_into("#limits input[name=rate]", "fast").await;
    browser.click("#limits button.strong").await;
    seen(
        &browser,
        "the door's words are shown",
        "return document.querySelector('#limits .wrong').innerText.includes('500/s')",
    )
    .await;
    browser.screenshot("4-wrong-limit-dark").await;
    browser.type_into("#limits input[name=rate]", "123/s").await;
    browser.run(TICKING).await;
    browser.click("#limits button.strong").await;
    seen(
        &browser,
        "the new limit is there",
        &format!("return document.querySelector({APNS:?}).innerText.includes('123/s')"),
    )
    .await;
    let ticks = browser.run("return window.ticksUntilShown").await;
    assert!(ticks.as_u64().unwrap() <= 2, "it took {ticks} of the page's own seconds");
    assert_eq!(served.status().await["routes"][0]["limits"]["rate"], "123/s");

    browser.click(&pause).await;
    seen(
        &browser,
        "it goes on",
        &format!("return parseFloat(document.querySelector({FCM:?} + ' .delivered').innerText) > 0"),
    )
    .await;

    // One route's course.
    browser.run("const scope = document.querySelector('#scope'); scope.value = 'chat/fcm'; scope.dispatchEvent(new Event('change'))").await;
    seen(
        &browser,
        "the legend follows",
        "return document.querySelector('.chart .legend').innerText.includes('delivered')",
    )
    .await;

    // On a phone.
    browser.view(380, 800, "light").await;
    tokio::time::timeout(MINUTE, async {
        let before = browser.run(DRAWN).await;
        while browser.run(DRAWN).await == before {}
    })
    .await
    .expect("the charts move there, too");
    fits(&browser).await;
    browser.screenshot("5-phone-light").await;
    browser.view(380, 800, "dark").await;
    browser.screenshot("6-phone-dark").await;
    for (width, height) in [(760, 900), (1100, 900), (1920, 1080)] {
        browser.view(width, height, "dark").await;
        seen(&browser, "the window has its size", &format!("return innerWidth === {width}")).await;
        fits(&browser).await;
    }
    browser.screenshot("7-wall-dark").await;

    // The browser remarks that the limit that is none was refused; there is nothing else in the console.
    let complaints = browser.complaints().await;
    assert!(complaints.len() == 1 && complaints[0].contains("400"), "{complaints:?}");
    let requests = browser.requests(&url).await;
    assert!(requests.iter().any(|request| request.ends_with("/v1/stream")), "{requests:?}");
    let foreign: Vec<_> = requests.iter().filter(|request| !request.starts_with(&url)).collect();
    assert!(foreign.is_empty(), "nothing foreign is asked for: {foreign:?}");

    // It ends, and is seen to be gone.
    browser.view(1440, 900, "light").await;
    served.kill_9();
    seen(&browser, "the lost connection is shown", "return !document.querySelector('#lost').hidden").await;
    assert!(browser.text("#lost").await.contains("What you see is as it was"));
    assert_eq!(browser.text("#verdict").await, "Out of touch");
    browser.screenshot("8-lost-light").await;

    // It is back, at the same address, and the page finds it by itself.
    let _served = Served::start_with(&config, &[("TIDEGATE__HTTP__LISTEN", &address)]).await;
    seen(&browser, "it is found again", "return document.querySelector('#lost').hidden").await;
    seen(&browser, "it goes on", "return document.querySelector('#verdict').innerText.includes('route')").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_a_token_and_replays_dead_letters() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.server_error = Some(ServerError { share: 1.0, status: 500, retry_after: None });
    let station = Station::start(settings);
    let config = station.config("", "", "max_attempts = 1\n");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", "[http]\ntokens = [\"let-me-look\"]")).unwrap();
    let served = Served::start(&config).await;
    let browser = Browser::start().await;
    browser.view(1440, 900, "light").await;
    browser.open(&format!("http://{}/", served.address())).await;
    seen(&browser, "it asks", "return document.querySelector('#token').open").await;
    browser.screenshot("9-token-light").await;
    browser.type_into("#token input[type=password]", "not-this").await;
    browser.click("#token button.strong").await;
    seen(
        &browser,
        "it asks again",
        "return document.querySelector('#token .wrong').innerText.includes('does not fit')",
    )
    .await;
    browser.type_into("#token input[type=password]", "let-me-look").await;
    browser.click("#token button.strong").await;
    seen(&browser, "it is let in", "return document.querySelectorAll('.row[data-route]').length === 2").await;

    let lines: Vec<u8> = (0..6).flat_map(|nth| [&job(nth, true).1[..], b"\n"].concat()).collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let posted = client.post(format!("http://{}/v1/jobs", served.address())).bearer_auth("let-me-look").body(lines);
    assert_eq!(posted.header("content-type", "application/x-ndjson").send().await.unwrap().status(), 202);
    seen(&browser, "the dead letters are shown", "return document.querySelector('#dead .n')?.innerText === '6'").await;
    browser.screenshot("10-dead-light").await;
    browser.click("#dead li button").await;
    browser.type_into("#replay input[name=rate]", "unlimited").await;
    browser.click("#replay button.strong").await;
    seen(
        &browser,
        "it says how many",
        "return document.querySelector('#toast').innerText.startsWith('6 dead letters')",
    )
    .await;

    // What was refused before the token fitted is the browser's own remark; there is nothing else.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("401")), "{complaints:?}");
    browser.close().await;
}
