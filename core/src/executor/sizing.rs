//! From how large a leg is wished to whole lots: never more than was asked.

use rust_decimal::Decimal;

use super::pricing::Bounds;
use super::setup::{AccountShare, DeploymentSetup};
use super::step::Step;
use crate::ledger::CapitalKey;
use crate::model::execution::Reason;
use crate::model::exit::Exits;
use crate::model::ids::{Asset, DeploymentId};
use crate::model::instrument::Instrument;
use crate::model::number::{Amount, Factor, Fraction, Leverage, Notional, Price, Quantity, exact};
use crate::model::signal::{Direction, Signal, Sizing};

/// Decimals that a share of something is kept to, rounded down.
const DECIMALS: u32 = 12;

/// Decimals of equity that a share is taken of, rounded down.
const EQUITY_DECIMALS: u32 = 8;

/// Which part of what a signal asks for a leg is: `times / by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    times: Decimal,
    by: Decimal,
}

impl Part {
    /// The deployment's scale, times the weight of the venue, shared by so many accounts there.
    pub(super) fn new(scale: Factor, weight: Fraction, accounts: usize) -> Option<Self> {
        Some(Self { times: exact::mul(scale.decimal(), weight.decimal())?, by: Decimal::from(accounts.max(1)) })
    }

    /// So much of something, rounded down.
    fn of(self, whole: Decimal) -> Option<Decimal> {
        let times = exact::mul(whole, self.times)?;
        let part = if self.by == Decimal::ONE {
            times
        } else {
            let unit = Decimal::new(1, DECIMALS);
            exact::mul(exact::units(times, exact::mul(unit, self.by)?)?, unit)?
        };
        Some(part.trunc_with_scale(DECIMALS).normalize())
    }
}

/// What a leg is sized for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg<'a> {
    pub(super) instrument: &'a Instrument,
    pub(super) bounds: Bounds,
    pub(super) leverage: Leverage,
    pub(super) part: Part,
    /// How much of the asset one unit of the signal's name for it is.
    pub(super) per_name: Factor,
    /// How much of the asset one base unit of the instrument is.
    pub(super) per_base: Factor,
}

fn overflow() -> Reason {
    Reason::new("overflow", "the size has more digits than can be kept exactly")
}

impl Leg<'_> {
    /// The whole lots that are worth no more than this, in the settlement currency, at the price that is reserved.
    fn worth(&self, worth: Decimal) -> Result<Quantity, Reason> {
        let worth = Notional::new(worth).map_err(|_| overflow())?;
        Ok(self.instrument.quantity_worth(worth, self.bounds.reserve))
    }

    /// In the currency of the instrument's notional.
    pub(super) fn by_notional(&self, notional: Notional) -> Result<Quantity, Reason> {
        let notional = self.part.of(notional.decimal()).and_then(|part| Notional::new(part).ok()).ok_or_else(overflow)?;
        Ok(self.instrument.quantity_for(notional, self.bounds.reserve))
    }

    /// Lots are counted, so that nothing is rounded on the way.
    pub(super) fn by_quantity(&self, quantity: Quantity) -> Result<Quantity, Reason> {
        let units = exact::mul(quantity.decimal(), self.per_name.decimal()).and_then(|units| exact::mul(units, self.part.times));
        let per_base = exact::mul(self.per_base.decimal(), self.part.by).and_then(|per_base| Factor::new(per_base).ok());
        let (units, per_base) = units.zip(per_base).ok_or_else(overflow)?;
        self.instrument.quantity_of(units, per_base, self.bounds.reserve).ok_or_else(overflow)
    }

    /// The margin is this share of the equity.
    pub(super) fn by_equity(&self, share: Fraction, equity: Decimal) -> Result<Quantity, Reason> {
        let margin = self.share_of(equity, share)?;
        self.worth(exact::mul(margin, self.leverage.decimal()).ok_or_else(overflow)?)
    }

    /// This share of the equity is lost at the stop, with the fees of both trades, from whichever end of the entry's prices loses more.
    pub(super) fn by_risk(
        &self,
        share: Fraction,
        equity: Decimal,
        exits: Option<&Exits>,
        direction: Direction,
    ) -> Result<Quantity, Reason> {
        let Bounds { worst, reserve } = self.bounds;
        let lost = |entry| self.lost_at_stop(exits?, direction, entry);
        let no_stop =
            || Reason::new("no_stop", format!("there is no stop price above 0 for an entry at {worst}, so that no risk is known"));
        let (distance, at_worst) = lost(worst).ok_or_else(no_stop)?;
        if distance <= Decimal::ZERO {
            return Err(Reason::new("exit_side", format!("the stop would close an entry at {worst}, which is admitted, at once")));
        }
        let budget = Notional::new(self.share_of(equity, share)?).map_err(|_| overflow())?;
        if !self.instrument.contract.is_linear() {
            // Between two entries the loss at the stop rises or falls, so that one of the two loses most.
            let at = |entry: Price| Some(self.instrument.quantity_risking(budget, entry, self.stop_of(exits?, direction, entry)?));
            return at(worst).zip(at(reserve)).map(|(one, other)| one.min(other)).ok_or_else(no_stop);
        }
        let most = if reserve == worst { at_worst } else { at_worst.max(lost(reserve).ok_or_else(no_stop)?.1) };
        let each = Price::new(most).map_err(|_| overflow())?;
        Ok(self.instrument.quantity_for(budget, each))
    }

    fn stop_of(&self, exits: &Exits, direction: Direction, entry: Price) -> Option<Price> {
        exits.on(&self.instrument.contract, direction, self.leverage).stop_price(direction, entry, self.leverage)
    }

    /// How far the stop is from an entry, and what a base unit loses there with both fees, rounded up.
    fn lost_at_stop(&self, exits: &Exits, direction: Direction, entry: Price) -> Option<(Decimal, Decimal)> {
        let stop = self.stop_of(exits, direction, entry)?.decimal();
        let entry = entry.decimal();
        let (high, low) = if direction == Direction::Long { (entry, stop) } else { (stop, entry) };
        let distance = exact::sub(high, low)?;
        let fee = self.instrument.taker_fee.decimal().max(Decimal::ZERO);
        let fees = exact::mul(exact::add(entry, stop)?, fee)?;
        // The stop of an average price in between is rounded at this many decimals.
        let rounding = Decimal::new(1, DECIMALS);
        let lost = exact::add(exact::add(distance, fees)?, rounding)?;
        Some((distance, lost.round_dp_with_strategy(DECIMALS, rust_decimal::RoundingStrategy::AwayFromZero)))
    }

    fn share_of(&self, equity: Decimal, share: Fraction) -> Result<Decimal, Reason> {
        exact::mul(equity, share.decimal()).and_then(|of_it| self.part.of(of_it)).ok_or_else(overflow)
    }
}

impl Step<'_> {
    /// Whole lots, rounded down.
    pub(super) fn size(&self, signal: &Signal, deployment: &DeploymentId, share: &AccountShare, leg: &Leg<'_>) -> Result<Quantity, Reason> {
        let equity = || self.equity_to_share(deployment, share, &leg.instrument.settle);
        match signal.sizing {
            Sizing::Notional(notional) => leg.by_notional(self.notional_of(leg.instrument, notional)?),
            Sizing::Quantity(quantity) => leg.by_quantity(quantity),
            Sizing::EquityFraction(fraction) => leg.by_equity(fraction, equity()?),
            Sizing::RiskFraction(fraction) => leg.by_risk(fraction, equity()?, signal.exits.as_ref(), signal.direction),
        }
    }

    /// Which part of the size goes to an account: the deployment's scale, and under `split` the weight of the venue that the account is
    /// configured at, in equal parts where the deployment has several there.
    pub(super) fn part(&self, signal: &Signal, setup: &DeploymentSetup, share: &AccountShare) -> Result<Part, Reason> {
        let venue = |share: &AccountShare| self.setup.accounts.get(&share.account).map(|account| &account.venue);
        let whole = || Fraction::new(Decimal::ONE).expect("1 is a fraction");
        let weight = venue(share).and_then(|venue| signal.routing.weight(venue)).unwrap_or_else(whole);
        let there = || setup.accounts.iter().filter(|other| venue(other) == venue(share));
        let accounts = if signal.routing.split().next().is_some() { there().count() } else { 1 };
        Part::new(setup.scale, weight, accounts).ok_or_else(overflow)
    }

    /// What a share of the equity is taken of: the deployment's allocation on the account with all gains and losses there since, or the equity
    /// of the whole account where no allocation is set. In the currency given, rounded down.
    fn equity_to_share(&self, deployment: &DeploymentId, share: &AccountShare, currency: &Asset) -> Result<Decimal, Reason> {
        let (account, ledger) = (&share.account, self.book.ledger());
        let whose = share.allocation.map(|_| deployment.clone());
        let key = CapitalKey { account: account.clone(), deployment: whose, currency: currency.clone() };
        let funds = share.allocation.map_or_else(|| ledger.funds(account, currency), |allocation| Some(allocation.amount()));
        let unrealized = ledger.unrealized(&key, |venue, symbol| self.live.marks.get(&(venue.clone(), symbol.clone())).copied());
        let whose = key.deployment.as_ref().map_or_else(|| account.to_string(), |deployment| format!("{deployment} on {account}"));
        let Some(equity) = ledger.equity(&key, funds, unrealized) else {
            let missing = match (funds, unrealized) {
                (None, _) => "what the account held when it was first seen is not known yet",
                (_, None) => "a price, or the cost of something that is not ours, is not known",
                _ => "a part of it is not known",
            };
            return Err(Reason::new("equity_unknown", format!("a share of the equity of {whose} is asked for, and {missing}")));
        };
        if equity <= Amount::ZERO {
            return Err(Reason::new("no_equity", format!("the equity of {whose} is {equity} {currency}, of which no share can be taken")));
        }
        Ok(equity.decimal().trunc_with_scale(EQUITY_DECIMALS).normalize())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::contract::Contract;
    use crate::model::exit::Distance;
    use crate::model::instrument::{InstrumentSpec, Market, PriceRule};

    pub(in crate::executor) fn spec(market: Market) -> InstrumentSpec {
        InstrumentSpec {
            venue: "paper".parse().unwrap(),
            symbol: "HYPE".parse().unwrap(),
            market,
            base: "HYPE".parse().unwrap(),
            quote: "USDC".parse().unwrap(),
            settle: "USDC".parse().unwrap(),
            price_rule: PriceRule { significant_figures: Some(5), decimals: Some(4), ..PriceRule::default() },
            lot_size: "0.01".parse().unwrap(),
            min_quantity: "0.01".parse().unwrap(),
            max_quantity: "10000000".parse().unwrap(),
            min_notional: "10".parse().unwrap(),
            max_price: "1000000".parse().unwrap(),
            max_leverage: "50".parse().unwrap(),
            taker_fee: "0.00045".parse().unwrap(),
            contract: Contract::Linear,
            contract_size: None,
            expiry: None,
            hours: None,
            maintenance_margin: None,
        }
    }

    fn one() -> Part {
        Part::new(Factor::ONE, "1".parse().unwrap(), 1).unwrap()
    }

    fn leg<'a>(instrument: &'a Instrument, worst: &str, reserve: &str, leverage: &str, part: Part) -> Leg<'a> {
        Leg {
            instrument,
            bounds: Bounds { worst: worst.parse().unwrap(), reserve: reserve.parse().unwrap() },
            leverage: leverage.parse().unwrap(),
            part,
            per_name: Factor::ONE,
            per_base: Factor::ONE,
        }
    }

    #[test]
    fn a_share_of_the_equity_is_the_margin() {
        let instrument = Instrument::new(spec(Market::Perp)).unwrap();
        // 8 % of 10,000 at 5 times is 4,000; at 40 that is 100.
        let quantity = leg(&instrument, "40", "40", "5", one()).by_equity("0.08".parse().unwrap(), Decimal::from(10_000)).unwrap();
        assert_eq!(quantity.to_string(), "100");
        // At a third of the scale, three accounts of a venue that has half of it: 222.2 each, which is 5.55.
        let part = Part::new("0.33333333".parse().unwrap(), "0.5".parse().unwrap(), 3).unwrap();
        let quantity = leg(&instrument, "40", "40", "5", part).by_equity("0.08".parse().unwrap(), Decimal::from(10_000)).unwrap();
        assert_eq!(quantity.to_string(), "5.55");
    }

    #[test]
    fn a_share_of_the_equity_is_lost_at_the_stop() {
        let instrument = Instrument::new(InstrumentSpec { taker_fee: "0.001".parse().unwrap(), ..spec(Market::Perp) }).unwrap();
        let stop = |at: &str| Exits { stop_loss: Some(Distance::Price(at.parse().unwrap())), ..Exits::default() };
        // A long from 40 to 38 loses 2 and pays 0.04 and 0.038: 500 / 2.078 = 240.61…
        let by = |worst, reserve, at: &str, direction| {
            leg(&instrument, worst, reserve, "1", one()).by_risk("0.05".parse().unwrap(), Decimal::from(10_000), Some(&stop(at)), direction)
        };
        assert_eq!(by("40", "40", "38", Direction::Long).unwrap().to_string(), "240.61");
        // A short from 40 to 42 loses 2 and pays 0.04 and 0.042.
        assert_eq!(by("40", "40.8", "42", Direction::Short).unwrap().to_string(), "240.15");
        assert_eq!(by("37", "37", "38", Direction::Long).unwrap_err().code, "exit_side");
        let roe = Exits { stop_loss: Some(Distance::Roe("2".parse().unwrap())), ..Exits::default() };
        let none = leg(&instrument, "40", "40", "1", one()).by_risk("0.05".parse().unwrap(), Decimal::TEN, Some(&roe), Direction::Long);
        assert_eq!(none.unwrap_err().code, "no_stop");
    }

    #[test]
    fn quantities_are_of_the_asset_whatever_the_names() {
        let instrument = Instrument::new(InstrumentSpec { lot_size: "1".parse().unwrap(), ..spec(Market::Perp) }).unwrap();
        let sized = |per_name: &str, per_base: &str, asked: &str| {
            let named = Leg {
                per_name: per_name.parse().unwrap(),
                per_base: per_base.parse().unwrap(),
                ..leg(&instrument, "0.0185", "0.0185", "1", one())
            };
            named.by_quantity(asked.parse().unwrap()).unwrap().to_string()
        };
        // 2,500,000 PEPE are 2,500 kPEPE; so are 2,500 of 1000PEPE. 2,500,999 PEPE are no more.
        assert_eq!(sized("1", "1000", "2500000"), "2500");
        assert_eq!(sized("1000", "1000", "2500"), "2500");
        assert_eq!(sized("1", "1000", "2500999"), "2500");
        // And where PEPE itself is traded, 2,500 kPEPE are 2,500,000.
        assert_eq!(sized("1000", "1", "2500"), "2500000");
    }

    prop_compose! {
        fn parts()(scale in 1_i64..3_000_000, weight in 1_i64..=1000, accounts in 1_usize..8) -> (Part, Decimal) {
            let (scale, weight) = (Decimal::new(scale, 6), Decimal::new(weight, 3));
            let part = Part::new(Factor::new(scale).unwrap(), Fraction::new(weight).unwrap(), accounts).unwrap();
            (part, scale * weight / Decimal::from(accounts))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_leg_is_larger_than_asked((part, share) in parts(), cents in 1_i64..10_000_000, price in 100_i64..10_000_000, leverage in 1_i64..50) {
            let instrument = Instrument::new(spec(Market::Perp)).unwrap();
            let at = Price::new(Decimal::new(price, 4)).unwrap();
            let leverage = Leverage::new(Decimal::from(leverage)).unwrap();
            let leg = Leg { bounds: Bounds { worst: at, reserve: at }, leverage, ..leg(&instrument, "1", "1", "1", part) };
            let asked = Decimal::new(cents, 2);
            let slack = Decimal::new(1, 15);

            let quantity = leg.by_notional(Notional::new(asked).unwrap()).unwrap();
            prop_assert!(at.notional(quantity).unwrap().decimal() <= asked * share + slack);
            let quantity = leg.by_quantity(Quantity::new(asked).unwrap()).unwrap();
            prop_assert!(quantity.decimal() <= asked * share + slack);
            prop_assert!(quantity.decimal() + instrument.lot_size.decimal() + slack > asked * share, "nor smaller by a lot");
            let fraction = Fraction::new(Decimal::new(7, 2)).unwrap();
            let quantity = leg.by_equity(fraction, asked).unwrap();
            let margin = at.notional(quantity).unwrap().margin(leverage).unwrap();
            prop_assert!(margin.decimal() <= asked * fraction.decimal() * share + slack * Decimal::ONE_THOUSAND);
        }

        #[test]
        fn parts_never_add_up_to_more_than_the_whole(weights in proptest::collection::vec(1_u32..1000, 1..6), accounts in 1_usize..5, cents in 1_i64..1_000_000_000) {
            let total = weights.iter().sum::<u32>();
            let whole = Decimal::new(cents, 2);
            let mut sum = Decimal::ZERO;
            for weight in &weights {
                let weight = (Decimal::from(*weight) / Decimal::from(total)).trunc_with_scale(9);
                let Ok(weight) = Fraction::new(weight) else { continue };
                let part = Part::new(Factor::ONE, weight, accounts).unwrap();
                sum += part.of(whole).unwrap() * Decimal::from(accounts);
            }
            prop_assert!(sum <= whole);
        }

        #[test]
        fn the_loss_at_the_stop_is_no_more_than_the_share(
            (part, share) in parts(),
            worst in 100_i64..1_000_000,
            better in 0_i64..500,
            equity in 100_i64..100_000_000,
            risk in 1_i64..500,
            stop in 1_i64..900,
            kind in 0..3,
            leverage in 1_i64..50,
            fee in 0_i64..100,
            short in any::<bool>(),
        ) {
            let fee = Decimal::new(fee, 5);
            let instrument = Instrument::new(InstrumentSpec { taker_fee: crate::model::number::Rate::new(fee).unwrap(), ..spec(Market::Perp) }).unwrap();
            let direction = if short { Direction::Short } else { Direction::Long };
            let worst = Decimal::new(worst, 2);
            // A better entry: lower for a long, higher for a short.
            let better = worst * (Decimal::ONE + Decimal::new(if short { better } else { -better }, 4));
            let better = Price::new(better.round_dp(9)).unwrap();
            let worst = Price::new(worst).unwrap();
            let distance = Decimal::new(stop, 3);
            let exits = Exits { stop_loss: Some(match kind {
                0 => Distance::Fraction(Fraction::new(distance).unwrap()),
                1 => Distance::Roe(Factor::new(distance).unwrap()),
                _ => Distance::Price(Price::new((worst.decimal() * (Decimal::ONE + if short { distance } else { -distance })).round_dp(6)).unwrap()),
            }), ..Exits::default() };
            let leverage = Leverage::new(Decimal::from(leverage)).unwrap();
            let bounds = Bounds { worst, reserve: if short { better } else { worst } };
            let leg = Leg { bounds, leverage, ..leg(&instrument, "1", "1", "1", part) };
            let (equity, risk) = (Decimal::new(equity, 2), Fraction::new(Decimal::new(risk, 3)).unwrap());
            let quantity = leg.by_risk(risk, equity, Some(&exits), direction).unwrap().decimal();
            let allowed = equity * risk.decimal() * share;
            // At every price between the worst and the better one.
            for step in 0..=4 {
                let entry = worst.decimal() + (better.decimal() - worst.decimal()) * Decimal::new(step * 25, 2);
                let stop = exits.stop_price(direction, Price::new(entry).unwrap(), leverage).unwrap().decimal();
                let lost = if short { stop - entry } else { entry - stop };
                let lost = quantity * (lost + fee * (entry + stop));
                prop_assert!(lost <= allowed + Decimal::new(1, 12), "{lost} of {allowed} at {entry}");
            }
            if quantity < instrument.max_quantity.decimal() {
                let stop = exits.stop_price(direction, worst, leverage).unwrap().decimal();
                let each = (worst.decimal() - stop).abs() + fee * (worst.decimal() + stop);
                let more = (quantity + instrument.lot_size.decimal()) * each;
                prop_assert!(short || more + Decimal::new(1, 3) > allowed, "one lot more would be too much");
            }
        }
    }
}
