//! Who there is: accounts, sub-accounts, vaults, agents and what each has set. Who may sign for whom.

use std::collections::BTreeMap;

use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::time::Timestamp;
use rust_decimal::Decimal;

use super::config::{AgentConfig, HyperliquidConfig, SubAccountConfig};
use super::sign::Address;
use super::universe::Deposits;

/// What an account is to the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    SubAccount(Address),
    Vault(Address),
}

/// A key that may trade for an account until an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) name: Option<String>,
    pub(crate) address: Address,
    pub(crate) valid_until: u64,
}

/// Leverage of one coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeverageSetting {
    pub(crate) value: u32,
    pub(crate) cross: bool,
}

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) id: AccountId,
    pub(crate) role: Role,
    pub(crate) agents: Vec<Agent>,
    pub(crate) leverage: BTreeMap<u32, LeverageSetting>,
    /// USDC added to isolated positions beyond their initial margin.
    pub(crate) isolated: BTreeMap<u32, Decimal>,
    /// Tenths of a basis point that a builder may take.
    pub(crate) builders: BTreeMap<Address, u64>,
    /// USDC traded.
    pub(crate) volume: Decimal,
    pub(crate) actions_used: u64,
    pub(crate) actions_bought: u64,
    pub(crate) last_when_exhausted: Option<Timestamp>,
    pub(crate) schedule: Option<u64>,
    /// Day and how often the schedule was triggered on it.
    pub(crate) schedules_triggered: (u64, u32),
}

/// Agents of one account, expired ones included, that are remembered.
const REMEMBERED_MAX: usize = 100;

/// All accounts by address.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_address: BTreeMap<Address, Account>,
}

const DAY_MS: u64 = 86_400_000;

/// Named agents of one account at a time. Source: the venue's documentation, "API wallets", read 2026-11-20 (not tried).
const NAMED_MAX: usize = 3;

impl Accounts {
    /// The accounts of a configuration, and what each starts with on both sides.
    pub(crate) fn new(config: &HyperliquidConfig, now_ms: u64) -> Result<(Self, Deposits, Deposits), String> {
        let mut accounts = Self::default();
        let (mut perps, mut spot) = (Deposits::new(), Deposits::new());
        for main in &config.accounts {
            let whole =
                SubAccountConfig { name: main.name.clone(), address: main.address.clone(), perp: main.perp, spot: main.spot.clone() };
            let address = accounts.add(&whole, Role::User, (&mut perps, &mut spot))?;
            for sub in &main.sub_accounts {
                accounts.add(sub, Role::SubAccount(address), (&mut perps, &mut spot))?;
            }
            for vault in &main.vaults {
                accounts.add(vault, Role::Vault(address), (&mut perps, &mut spot))?;
            }
            for agent in &main.agents {
                accounts.add_agent(address, agent, now_ms)?;
            }
        }
        Ok((accounts, perps, spot))
    }

    fn add(&mut self, config: &SubAccountConfig, role: Role, (perps, spot): (&mut Deposits, &mut Deposits)) -> Result<Address, String> {
        let address: Address = config.address.parse()?;
        let id = AccountId::new(&address.to_string()).map_err(|e| e.to_string())?;
        let usdc = "USDC".parse().expect("a constant asset");
        perps.insert(id.clone(), BTreeMap::from([(usdc, config.perp)]));
        spot.insert(id.clone(), config.spot.clone());
        let account = Account {
            name: config.name.clone(),
            id,
            role,
            agents: Vec::new(),
            leverage: BTreeMap::new(),
            isolated: BTreeMap::new(),
            builders: BTreeMap::new(),
            volume: Decimal::ZERO,
            actions_used: 0,
            actions_bought: 0,
            last_when_exhausted: None,
            schedule: None,
            schedules_triggered: (0, 0),
        };
        if self.by_address.insert(address, account).is_some() {
            return Err(format!("accounts: {address} is there twice"));
        }
        Ok(address)
    }

    fn add_agent(&mut self, master: Address, agent: &AgentConfig, now_ms: u64) -> Result<(), String> {
        let address: Address = agent.address.parse()?;
        let valid_until = agent.valid_until.unwrap_or(now_ms.saturating_add(90 * DAY_MS));
        self.approve(master, Agent { name: agent.name.clone(), address, valid_until }, now_ms)
    }

    pub(crate) fn get(&self, address: &Address) -> Option<&Account> {
        self.by_address.get(address)
    }

    pub(crate) fn get_mut(&mut self, address: &Address) -> Option<&mut Account> {
        self.by_address.get_mut(address)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.by_address.iter()
    }

    /// The account of a name or an address.
    pub(crate) fn named(&self, name: &str) -> Option<Address> {
        let parsed = name.parse::<Address>().ok().filter(|address| self.by_address.contains_key(address));
        parsed.or_else(|| self.iter().find(|(_, account)| account.name == name).map(|(address, _)| *address))
    }

    /// The account that a key signs for: its own, or the one whose agent it is at this time.
    pub(crate) fn master_of(&self, signer: &Address, now_ms: u64) -> Option<Address> {
        if let Some(own) = self.by_address.get(signer) {
            return (own.role == Role::User).then_some(*signer);
        }
        let valid = |agent: &Agent| agent.address == *signer && now_ms <= agent.valid_until;
        self.iter().find(|(_, account)| account.agents.iter().any(valid)).map(|(address, _)| *address)
    }

    /// Approves an agent. One of the same name is no agent any more.
    pub(crate) fn approve(&mut self, master: Address, agent: Agent, now_ms: u64) -> Result<(), String> {
        let taken = self.by_address.contains_key(&agent.address)
            || self.iter().any(|(owner, account)| *owner != master && account.agents.iter().any(|other| other.address == agent.address));
        if taken {
            return Err("Extra agent already used.".into());
        }
        let account = self.by_address.get_mut(&master).filter(|account| account.role == Role::User).ok_or("User does not exist.")?;
        account.agents.retain(|other| other.name != agent.name && other.address != agent.address);
        let named = account.agents.iter().filter(|other| other.name.is_some() && other.valid_until >= now_ms).count();
        if agent.name.is_some() && named >= NAMED_MAX {
            return Err("Too many extra agents.".into());
        }
        // The ones that expired longest ago are forgotten first.
        if account.agents.len() >= REMEMBERED_MAX {
            account.agents.remove(0);
        }
        account.agents.push(agent);
        Ok(())
    }

    /// Sub-accounts of an account.
    pub(crate) fn subs(&self, master: Address) -> impl Iterator<Item = (&Address, &Account)> {
        self.iter().filter(move |(_, account)| account.role == Role::SubAccount(master))
    }

    /// Whose agent an address is or was.
    pub(crate) fn agent_of(&self, agent: &Address) -> Option<Address> {
        self.iter().find(|(_, account)| account.agents.iter().any(|other| other.address == *agent)).map(|(address, _)| *address)
    }
}
