//! What an order on Hyperliquid costs this process, in processor time: from the signal to the last byte written, and to the
//! acknowledgement, beside a bare `reqwest` client that sends signed bodies of the same kind to the same server. And what a signature
//! costs beside the bare operation on the curve.
//!
//! The server is `omnivenue testnet` in a process of its own, so that its work is not counted; the journal is a real file with real flushes.
//! To see the cost up to the last byte, the server is told to take orders and never to answer. What the process spends on its own meanwhile
//! (prices, streams) is measured over the same time without orders, and subtracted.
//!
//! `cargo bench --bench venue` takes about half a minute.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k256::ecdsa::SigningKey as BareKey;
use k256::ecdsa::signature::hazmat::PrehashSigner;
use omnivenue::hyperliquid::action::{Action, Cloid, Order, OrderKind, Tif};
use omnivenue::hyperliquid::config::Environment;
use omnivenue::hyperliquid::rest::envelope;
use omnivenue::hyperliquid::sign::{Terms, sign};
use omnivenue::model::secret::Secret;
use omnivenue::{Config, Signal, Wait};
use omnivenue_kit::sign::SigningKey;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Long enough for everything that follows an order to have happened.
const QUIET: Duration = Duration::from_millis(1_500);

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable");
    let server = Server::start(folder.path());
    signatures(&server.key, if quick { 20 } else { 5_000 });
    let orders = if quick { 5 } else { 200 };
    println!("\nprocessor time of one order, of {orders}                   engine   bare client   ratio");
    for answered in [false, true] {
        server.silence(&runtime, if answered { 0 } else { 2 * orders });
        let bare = runtime.block_on(bare(&server, orders, answered));
        let ours = engine(&runtime, &server, &folder.path().join(format!("engine-{answered}")), orders, answered);
        let what = if answered { "signal → acknowledgement" } else { "signal → last byte written" };
        println!("{what:<48} {:>8.1?} {:>13.1?} {:>7}", ours, bare, ratio(ours, bare));
    }
}

/// What this process has used of the processors so far.
fn spent() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or_default(), u32::try_from(spent.tv_nsec).unwrap_or_default())
}

fn ratio(ours: Duration, theirs: Duration) -> String {
    let hundredths = ours.as_nanos() * 100 / theirs.as_nanos().max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The whole signature of an order beside the operation on the curve that it cannot do without.
fn signatures(key: &Secret, count: u32) {
    let ours = SigningKey::from_secret(key).expect("a key");
    let bytes = omnivenue_kit::sign::hex::decode(key.expose().trim_start_matches("0x")).expect("hexadecimal");
    let bare = BareKey::from_slice(&bytes).expect("a key");
    let each = |work: &mut dyn FnMut(u32)| {
        let before = spent();
        (0..count).for_each(work);
        (spent() - before) / count
    };
    let action = order(0).to_json();
    let whole = each(&mut |nonce| {
        let signed = sign(&ours, &action, &terms(u64::from(nonce)));
        std::hint::black_box(signed.expect("an action"));
    });
    let curve = each(&mut |nonce| {
        let mut digest = [7_u8; 32];
        digest[..4].copy_from_slice(&nonce.to_be_bytes());
        let signed: (k256::ecdsa::Signature, k256::ecdsa::RecoveryId) = bare.sign_prehash(&digest).expect("a digest");
        std::hint::black_box(signed);
    });
    println!("processor time of one signature, of {count}             ours    bare curve   ratio");
    println!("{:<48} {whole:>8.1?} {curve:>13.1?} {:>7}", "an order: pack, hash, sign", ratio(whole, curve));
}

const fn terms(nonce: u64) -> Terms {
    Terms { nonce, vault_address: None, expires_after: None, environment: Environment::Testnet }
}

/// Buys 0.4 HYPE at the market.
fn order(index: u64) -> Action {
    let cloid = Cloid::parse(&format!("0x{index:032x}")).expect("32 digits");
    Action::orders(vec![Order {
        asset: 3,
        is_buy: true,
        price: "50".into(),
        size: "0.4".into(),
        reduce_only: false,
        kind: OrderKind::Limit { tif: Tif::Ioc },
        cloid: Some(cloid),
    }])
}

/// `omnivenue testnet` in a process of its own.
struct Server {
    child: Child,
    rest: String,
    stream: String,
    admin: String,
    /// The engine's account, and the bare client's.
    key: Secret,
    bare_key: Secret,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut config = omnivenue_testnet::Config::built_in();
        let hyperliquid = config.hyperliquid.as_mut().expect("it is built in");
        hyperliquid.limits.ip_weight = 1_000_000;
        let keys: Vec<Secret> = hyperliquid
            .accounts
            .iter_mut()
            .map(|account| {
                account.perp = "1000000".parse().expect("an amount");
                Secret::new(account.test_key.clone().expect("a published key"))
            })
            .collect();
        let [key, bare_key] = keys.try_into().expect("two accounts are built in");
        let file = folder.join("testnet.json");
        std::fs::write(&file, serde_json::to_string(&config).expect("plain data")).expect("the folder is writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_omnivenue"));
        let mut child =
            command.args(["testnet", "--json", "--file"]).arg(&file).stdout(Stdio::piped()).spawn().expect("the testnet starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("an address").to_owned();
        let venue = &said["venues"]["hyperliquid"];
        Self { rest: text(&venue["rest"]), stream: text(&venue["stream"]), admin: text(&said["admin"]), child, key, bare_key }
    }

    /// Takes the next orders without an answer.
    fn silence(&self, runtime: &Runtime, count: u32) {
        let script = if count == 0 { json!([]) } else { json!([{ "fault": "silence", "kind": "order", "count": count }]) };
        let body = json!({ "clear": true, "script": script }).to_string();
        let answer = runtime.block_on(async {
            client().post(format!("{}/faults", self.admin)).body(body).send().await.expect("the testnet answers").text().await
        });
        assert!(answer.is_ok_and(|text| !text.contains("error")), "the testnet takes faults");
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client")
}

/// Signed bodies, one after the other, over one connection where they are answered.
async fn bare(server: &Server, orders: u32, answered: bool) -> Duration {
    let key = SigningKey::from_secret(&server.bare_key).expect("a key");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let first = u64::try_from(now).expect("before the year 584 million");
    let bodies: Vec<String> = (0..u64::from(orders))
        .map(|index| {
            let (action, terms) = (order(first + index).to_json(), terms(first + index));
            envelope(&action, &sign(&key, &action, &terms).expect("an action"), &terms)
        })
        .collect();
    let client = client();
    let url = format!("{}/exchange", server.rest);
    let send = |body: String| client.post(&url).header("content-type", "application/json").body(body).send();
    let before = spent();
    let mut waiting = tokio::task::JoinSet::new();
    for body in bodies {
        if answered {
            let text = send(body).await.expect("an answer").text().await.expect("a body");
            assert!(text.contains("filled"), "{text}");
        } else {
            waiting.spawn(send(body));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    if !answered {
        tokio::time::sleep(QUIET).await;
    }
    (spent() - before) / orders
}

/// The same through everything: gates, journal, signature, books.
fn engine(runtime: &Runtime, server: &Server, folder: &Path, orders: u32, answered: bool) -> Duration {
    std::fs::create_dir_all(folder).expect("the target directory is writable");
    std::fs::write(folder.join("key"), server.key.expose()).expect("the folder is writable");
    let config = Config::from_toml(&configuration(server, orders), "bench", folder).expect("a configuration");
    runtime.block_on(async {
        let engine = omnivenue::open(&config).await.expect("the engine opens");
        tokio::time::sleep(QUIET).await;
        let began = tokio::time::Instant::now();
        let before = spent();
        for index in 0..orders {
            let signal = json!({
                "id": format!("bench-{answered}-{index}"), "agent": format!("agent-{index}"), "asset": "HYPE", "direction": "long",
                "sizing": { "notional": "16" }, "slippage": "0.1", "leverage": "5",
            });
            let wait = if answered { Wait::Acknowledged } else { Wait::Journaled };
            let execution = engine.execute(Signal::from_value(signal).expect("a signal"), wait).await.expect("it is taken");
            assert!(execution.legs.iter().all(|leg| leg.state != "done" || leg.outcome.is_some() && leg.code.is_none()), "{execution:?}");
            if !answered {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if !answered {
            tokio::time::sleep(QUIET).await;
        }
        let (busy, lasted) = (spent() - before, began.elapsed());
        tokio::time::sleep(QUIET).await;
        let before = spent();
        tokio::time::sleep(lasted).await;
        let idle = spent() - before;
        // Without answers it would wait for them: what it has to say is measured.
        drop(engine);
        busy.saturating_sub(idle) / orders
    })
}

fn configuration(server: &Server, agents: u32) -> String {
    let agent = |index: u32| {
        format!(
            "[[agent]]\nid = \"agent-{index}\"\n[[deployment]]\nid = \"agent-{index}\"\nagent = \"agent-{index}\"\naccounts = [{{ account = \"main\" }}]\n"
        )
    };
    format!(
        "[[account]]\nid = \"main\"\nvenue = \"hyperliquid\"\nenvironment = \"testnet\"\n\
         urls = {{ rest = \"{}\", stream = \"{}\" }}\ncredentials = {{ private_key = \"file:key\" }}\n\
         {}\n[timing]\nleg_deadline = \"60s\"\n[journal]\nviews = false\n",
        server.rest,
        server.stream,
        (0..agents).map(agent).collect::<String>()
    )
}
