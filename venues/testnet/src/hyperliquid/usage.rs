//! How clients are pointed at this venue.

use std::fmt::Write as _;

use super::config::HyperliquidConfig;

pub(crate) fn text(config: &HyperliquidConfig, rest: &str, stream: &str) -> String {
    let mut text = String::new();
    let main = config.accounts.first();
    let _ = writeln!(text, "hyperliquid\n  REST {rest}\n  WS   {stream}\n");
    for account in &config.accounts {
        let _ = writeln!(text, "  account {}: {} ({} USDC)", account.name, account.address, account.perp);
        if let Some(key) = &account.test_key {
            let _ = writeln!(text, "    published test key, anyone has it: {key}");
        }
        for agent in &account.agents {
            let key = agent.test_key.as_deref().unwrap_or("(yours)");
            let _ = writeln!(text, "    agent {} {}: {key}", agent.name.as_deref().unwrap_or("without a name"), agent.address);
        }
        for (kind, sub) in account.sub_accounts.iter().map(|s| ("sub-account", s)).chain(account.vaults.iter().map(|v| ("vault", v))) {
            let _ = writeln!(text, "    {kind} {}: {}", sub.name, sub.address);
        }
    }
    let key = main.and_then(|account| account.test_key.as_deref()).unwrap_or("0x…");
    let address = main.map_or("0x…", |account| account.address.as_str());
    let agent = main.and_then(|account| account.agents.first()).and_then(|agent| agent.test_key.as_deref()).unwrap_or("0x…");
    let _ = write!(
        text,
        r#"
  hyperliquid-python-sdk
    wallet = eth_account.Account.from_key("{key}")
    info = Info("{rest}")
    exchange = Exchange(wallet, "{rest}", account_address="{address}")

  ccxt (Python)
    exchange = ccxt.hyperliquid({{"walletAddress": "{address}", "privateKey": "{key}"}})
    exchange.urls["api"] = {{"public": "{rest}", "private": "{rest}", "ws": {{"public": "{stream}"}}}}

  @nktkas/hyperliquid (TypeScript)
    const transport = new HttpTransport({{ apiUrl: "{rest}" }});
    const streams = new WebSocketTransport({{ url: "{stream}" }});
    const client = new ExchangeClient({{ transport, wallet: privateKeyToAccount("{key}") }});

  omnivenue.toml
    [[account]]
    id = "main"
    venue = "hyperliquid"
    environment = "testnet"
    urls = {{ rest = "{rest}", stream = "{stream}" }}
    credentials = {{ private_key = "env:HYPERLIQUID_AGENT_KEY" }}    # HYPERLIQUID_AGENT_KEY={agent}
    address = "{address}"
"#
    );
    text
}
