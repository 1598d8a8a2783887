-- The views of a journal: what people and tools read. Decimals are TEXT, exact; times are RFC 3339 in UTC with six decimals, so that
-- they sort. Rebuilt from the journal at any time: changes made here are lost.

CREATE TABLE as_of (
    as_of_seq INTEGER NOT NULL, -- the last journal entry these tables contain
    as_of TEXT,                 -- when it was decided
    hash TEXT NOT NULL,         -- the journal's chain up to it
    namespace TEXT NOT NULL     -- whose journal it is
) STRICT;

-- What was asked of the engine: signals, and requests to close.
CREATE TABLE signals (
    execution INTEGER PRIMARY KEY,
    signal_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,         -- signal, close
    agent TEXT,
    asset TEXT,
    market TEXT,
    direction TEXT,
    confidence TEXT,
    sizing TEXT,                -- notional, quantity, equity_fraction, risk_fraction
    size TEXT,
    leverage TEXT,
    slippage TEXT,
    order_type TEXT,
    limit_price TEXT,
    routing TEXT,               -- JSON where it is split
    venues TEXT,                -- JSON; absent: all enabled ones
    closes TEXT,                -- of a request to close: JSON
    created_at TEXT,
    received_at TEXT NOT NULL,
    valid_until TEXT
) STRICT;

-- One line per signal, deployment and account.
CREATE TABLE legs (
    execution INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT NOT NULL,
    venue TEXT NOT NULL,
    account TEXT NOT NULL,
    instrument TEXT,
    asset TEXT,
    side TEXT,
    state TEXT NOT NULL,        -- awaiting_approval, planned, sent, unknown, working, done
    outcome TEXT,               -- once done: filled, partially_filled, canceled, expired, skipped, refused, rejected, unwound
    code TEXT,
    reason TEXT,
    quantity TEXT,
    worst_price TEXT,
    leverage TEXT,
    filled_quantity TEXT NOT NULL DEFAULT '0',
    filled_notional TEXT NOT NULL DEFAULT '0',
    average_price TEXT,
    fees TEXT NOT NULL DEFAULT '{}', -- JSON: asset to amount
    client_order_id TEXT,       -- of the latest order
    venue_order_id TEXT,
    position_id TEXT,
    planned_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    done_at TEXT,
    PRIMARY KEY (execution, leg)
) STRICT, WITHOUT ROWID;
CREATE INDEX legs_by_signal ON legs (signal_id);
CREATE INDEX legs_by_deployment ON legs (deployment, agent);

-- One line per attempt of a leg.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    execution INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT NOT NULL,
    venue TEXT NOT NULL,
    account TEXT NOT NULL,
    instrument TEXT NOT NULL,
    market TEXT NOT NULL,
    side TEXT NOT NULL,
    purpose TEXT NOT NULL,      -- entry, close
    order_type TEXT NOT NULL,
    quantity TEXT NOT NULL,
    worst_price TEXT NOT NULL,
    leverage TEXT NOT NULL,
    reduce_only INTEGER NOT NULL,
    state TEXT NOT NULL,        -- sent, unknown, open, done
    done_reason TEXT,           -- filled, canceled, expired, rejected, not_sent, absent, superseded, resolved
    reason TEXT,                -- of an unknown order: what was tried and what happened
    venue_order_id TEXT,
    filled_quantity TEXT NOT NULL DEFAULT '0',
    filled_notional TEXT NOT NULL DEFAULT '0',
    average_price TEXT,
    fees TEXT NOT NULL DEFAULT '{}',
    prepared_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    done_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_leg ON orders (execution, leg);

-- One line per trade.
CREATE TABLE fills (
    client_order_id TEXT NOT NULL,
    trade_id TEXT NOT NULL,     -- the venue's name of it
    execution INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT NOT NULL,
    venue TEXT NOT NULL,
    account TEXT NOT NULL,
    instrument TEXT NOT NULL,
    side TEXT NOT NULL,
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    notional TEXT NOT NULL,     -- what it was worth, in the settlement currency
    fee TEXT,                   -- absent: not known
    fee_asset TEXT,
    adjustment INTEGER NOT NULL, -- 1: what a person said, until the venue's own trades are known
    at TEXT NOT NULL,
    seq INTEGER NOT NULL,       -- the journal entry that tells of it
    PRIMARY KEY (client_order_id, trade_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fills_by_time ON fills (at);

-- What each deployment holds.
CREATE TABLE positions (
    deployment TEXT NOT NULL,
    account TEXT NOT NULL,
    instrument TEXT NOT NULL,
    agent TEXT,
    venue TEXT NOT NULL,
    asset TEXT NOT NULL,
    market TEXT NOT NULL,
    direction TEXT NOT NULL,    -- long, short
    quantity TEXT NOT NULL,
    entry_price TEXT,           -- average of what is held
    cost TEXT NOT NULL,         -- in currency, signed: what the trades of what is held were worth; of inverse contracts the other way round
    leverage TEXT NOT NULL,
    realized_pnl TEXT NOT NULL, -- since it was last flat, before fees and funding, in currency
    funding TEXT NOT NULL,      -- since it was last flat; positive: received
    currency TEXT NOT NULL,
    signals TEXT NOT NULL,      -- JSON: whose fills it is made of, oldest first
    PRIMARY KEY (deployment, account, instrument)
) STRICT, WITHOUT ROWID;

-- When a venue, or the engine as a whole, was allowed to trade otherwise than before.
CREATE TABLE breakers (
    seq INTEGER PRIMARY KEY,    -- the journal entry that tells of it
    venue TEXT,                 -- absent: the engine as a whole
    state TEXT NOT NULL,        -- normal, degraded, emergency
    code TEXT NOT NULL,         -- what was measured: errors, latency, stale, drift, unknown, restart; alarms; well
    reason TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;

-- Money per account and currency, and per deployment on it.
CREATE TABLE equity (
    account TEXT NOT NULL,
    deployment TEXT NOT NULL,   -- empty: the account as a whole
    currency TEXT NOT NULL,
    capital TEXT,               -- what the account held when first seen, with deposits and withdrawals since
    realized_pnl TEXT,          -- before fees; of the account as a whole with what is not ours, null while it is not known what that cost
    fees TEXT NOT NULL,
    funding TEXT NOT NULL,      -- positive: received
    committed TEXT NOT NULL,    -- margin of what is held
    reserved TEXT NOT NULL,     -- for orders on their way or unknown
    equity TEXT,                -- capital + realized - fees + funding; absent while something is held, since the journal holds no prices
    PRIMARY KEY (account, deployment, currency)
) STRICT, WITHOUT ROWID;

-- What changed the books without an order of ours: one line per share of each.
CREATE TABLE adjustments (
    seq INTEGER NOT NULL,       -- the journal entry that tells of it
    share INTEGER NOT NULL,     -- counted from 0; the shares of one add up to what happened
    adjustment_id TEXT NOT NULL, -- derived from the venue's own name of it
    kind TEXT NOT NULL,         -- funding, deposit, withdrawal, transfer, liquidation_fee, other, foreign_trade, liquidation, deleveraging, settlement,
                                -- adopted, netted
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    deployment TEXT,            -- absent: not ours, or the account alone
    instrument TEXT,
    quantity TEXT NOT NULL,     -- bought, or sold if negative
    price TEXT,
    price_source TEXT,          -- trade, mark
    amount TEXT NOT NULL,       -- money that came in, or went out if negative
    asset TEXT,
    fee TEXT NOT NULL,
    fee_asset TEXT,
    reason TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (seq, share)
) STRICT, WITHOUT ROWID;
CREATE INDEX adjustments_by_time ON adjustments (at);
