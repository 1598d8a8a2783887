//! The ways of being wrong, and for every case one that it must notice.

use omnivenue_behavior::Paper;
use omnivenue_core::venue::{Absence, Resend};
use omnivenue_paper::Config;

/// One way of being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Nothing: the control.
    None,
    /// What is not found at once is absent for ever.
    HastyAbsence,
    /// What is not found may be sent again, wherever it is.
    HastyResend,
    /// A broken connection is called a refusal.
    CutIsRefusal,
    /// Every order is sent twice.
    SendsTwice,
    /// An order is sent again by the probe that finds nothing.
    ProbeSends,
    /// Trades lack their fees.
    NoFees,
    /// The stream tells trades by names of its own.
    OtherNames,
    /// The stream keeps trades to itself.
    NoTrades,
    /// The stream never ends.
    EndlessStream,
    /// The stream hides what is not ours.
    HidesForeign,
    /// A snapshot since an instant leaves out what rests.
    ForgetsResting,
    /// A snapshot leaves out positions.
    NoPositions,
    /// A snapshot leaves out the older half of the trades.
    HalfTheTrades,
    /// Canceling what is done is an error.
    CancelsOnce,
    /// A cancel says that it worked, and does nothing.
    LazyCancel,
    /// What is written down is signed.
    Signed,
    /// Every order has the same nonce.
    OneNonce,
    /// Preparing moves the worst price.
    Careless,
    /// Immediate-or-cancel is sent as good till canceled.
    Rests,
    /// Nothing only reduces.
    Turns,
    /// Whoever asks is welcome.
    Blind,
    /// Bid and ask are swapped.
    Crossed,
    /// Prices have a digit too many.
    FineTicks,
    /// Instruments come twice.
    Twice,
    /// Deadlines are forgotten.
    NoDeadline,
    /// Whatever is refused was an invalid request.
    WrongKind,
    /// A venue that may take the same bytes twice says that it takes them once.
    ClaimsOnce,
    /// The stream of quotes tells one, and then nothing for ever.
    DeafQuotes,
    /// Post-only is forgotten.
    Takes,
    /// Every order is for three.
    Inflates,
    /// Limits are two units worse than asked for.
    Dearer,
    /// Every order is the same text.
    OneWire,
    /// Deadlines are later than they are said to be.
    LateDeadline,
    /// A snapshot leaves out balances.
    NoBalances,
    /// Nothing is ever well.
    Gloomy,
    /// Examining cancels what rests.
    Tidy,
    /// Examining tells the password.
    Chatty,
    /// A venue that denies an order by its id is believed.
    Gullible,
    /// Probes never find anything.
    NeverFinds,
    /// What fails is sent again at once.
    Retries,
    /// A snapshot leaves out trades.
    NoTradesListed,
    /// An order cannot be prepared without asking the venue something.
    AsksFirst,
    /// Every account is the first one.
    OneAccount,
}

/// The password of every sabotaged world.
pub(crate) const PASSWORD: &str = "hunter2";

/// On which kind of exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes the same bytes once; ids can be burned.
    Once,
    /// May take the same bytes twice; ids can be burned.
    Twice,
    /// May take the same bytes twice; absence is proved by a window.
    Window,
    /// May take the same bytes twice; nothing proves absence.
    Never,
    /// Spot.
    Spot,
}

impl Kind {
    pub(crate) fn subject(self) -> Paper {
        match self {
            Self::Once => Paper::of_kind(Resend::Idempotent, Absence::Burn),
            Self::Twice => Paper::of_kind(Resend::AfterProof, Absence::Burn),
            Self::Window => Paper::like(Config::ostium_like()),
            Self::Never => Paper::of_kind(Resend::AfterProof, Absence::Never),
            Self::Spot => Paper::like(Config::spot_like()),
        }
    }
}

/// For every case a sabotage that it must notice.
pub(crate) const NOTICED: &[(&str, Sabotage, Kind)] = &[
    ("instruments_are_the_venues_own_and_can_be_counted_exactly", Sabotage::Twice, Kind::Once),
    ("every_quoted_price_is_on_the_price_rule_of_its_instrument", Sabotage::FineTicks, Kind::Once),
    ("quotes_are_of_listed_instruments_each_once_and_not_crossed", Sabotage::Crossed, Kind::Once),
    ("a_price_that_moves_is_answered_and_streamed", Sabotage::DeafQuotes, Kind::Once),
    ("a_stream_of_quotes_ends_when_nobody_listens", Sabotage::DeafQuotes, Kind::Once),
    ("an_order_that_filled_is_found_by_every_way_of_asking", Sabotage::SendsTwice, Kind::Window),
    ("an_order_that_rests_is_found_by_every_way_of_asking", Sabotage::ForgetsResting, Kind::Once),
    ("a_limit_order_rests_until_it_is_canceled", Sabotage::LazyCancel, Kind::Once),
    ("canceling_twice_reports_how_it_stands", Sabotage::CancelsOnce, Kind::Once),
    ("canceling_what_has_filled_reports_how_it_stands", Sabotage::CancelsOnce, Kind::Once),
    ("canceling_an_order_that_never_was_says_that_it_is_not_found", Sabotage::WrongKind, Kind::Once),
    ("a_market_order_fills_within_its_worst_price", Sabotage::Inflates, Kind::Once),
    ("a_market_order_whose_worst_price_is_not_reached_takes_nothing", Sabotage::Careless, Kind::Once),
    ("a_limit_order_that_is_reached_trades_at_its_price_or_better", Sabotage::NeverFinds, Kind::Once),
    ("what_rests_fills_when_the_price_comes_to_it", Sabotage::Dearer, Kind::Once),
    ("immediate_or_cancel_never_rests", Sabotage::Rests, Kind::Once),
    ("immediate_or_cancel_takes_what_is_there", Sabotage::NeverFinds, Kind::Once),
    ("post_only_never_takes", Sabotage::Takes, Kind::Once),
    ("post_only_rests_where_it_does_not_reach", Sabotage::SendsTwice, Kind::Window),
    ("reduce_only_never_turns_a_position", Sabotage::Turns, Kind::Once),
    ("closing_leaves_nothing", Sabotage::Careless, Kind::Once),
    ("what_is_held_can_be_sold", Sabotage::SendsTwice, Kind::Spot),
    ("a_short_position_is_one", Sabotage::NoPositions, Kind::Once),
    ("an_order_below_the_smallest_is_refused_and_leaves_nothing", Sabotage::Inflates, Kind::Once),
    ("a_price_off_the_tick_is_refused_or_moved_in_our_favor", Sabotage::Dearer, Kind::Once),
    ("a_quantity_off_the_lot_is_refused_and_leaves_nothing", Sabotage::Inflates, Kind::Once),
    ("what_cannot_be_paid_is_refused_and_leaves_nothing", Sabotage::WrongKind, Kind::Once),
    ("the_same_bytes_twice_are_one_order_with_one_answer", Sabotage::ClaimsOnce, Kind::Twice),
    ("the_same_bytes_at_the_same_moment_are_one_order", Sabotage::ClaimsOnce, Kind::Twice),
    ("the_same_bytes_after_it_was_canceled_revive_nothing", Sabotage::ClaimsOnce, Kind::Twice),
    ("a_refusal_that_was_a_decision_stays_one", Sabotage::ClaimsOnce, Kind::Twice),
    ("a_probe_offers_no_resending_where_the_same_bytes_may_be_taken_twice", Sabotage::HastyResend, Kind::Never),
    ("nonces_never_repeat_over_a_burst_on_two_accounts_of_one_signer", Sabotage::OneNonce, Kind::Once),
    ("no_two_orders_of_a_burst_have_the_same_name_or_the_same_bytes", Sabotage::OneWire, Kind::Once),
    ("orders_are_prepared_with_the_network_dead", Sabotage::AsksFirst, Kind::Once),
    ("what_is_written_down_holds_no_authentication", Sabotage::Signed, Kind::Once),
    ("an_order_with_a_window_says_when_it_ends", Sabotage::NoDeadline, Kind::Window),
    ("an_order_that_is_sent_after_its_deadline_is_refused", Sabotage::LateDeadline, Kind::Window),
    ("accounts_of_one_signer_do_not_see_each_others_orders", Sabotage::OneAccount, Kind::Once),
    ("an_answer_lost_after_acceptance_is_found_with_its_trades_and_fees", Sabotage::NoFees, Kind::Once),
    ("a_resting_order_whose_answer_was_lost_is_found", Sabotage::NeverFinds, Kind::Once),
    ("an_order_without_any_answer_is_found", Sabotage::NeverFinds, Kind::Once),
    ("a_failure_of_the_server_is_no_refusal", Sabotage::CutIsRefusal, Kind::Once),
    ("an_order_lost_on_its_way_may_be_sent_again", Sabotage::ProbeSends, Kind::Once),
    ("an_order_lost_on_its_way_is_absent_for_ever_and_its_bytes_are_never_taken", Sabotage::HastyAbsence, Kind::Once),
    ("a_burned_order_never_takes_effect", Sabotage::HastyAbsence, Kind::Once),
    ("an_order_that_is_there_is_not_burned", Sabotage::Gullible, Kind::Once),
    ("where_nothing_proves_absence_it_is_never_claimed", Sabotage::HastyAbsence, Kind::Never),
    ("a_false_not_found_is_no_absence_of_what_filled", Sabotage::Gullible, Kind::Once),
    ("a_false_not_found_is_no_absence_of_what_rests", Sabotage::Gullible, Kind::Once),
    ("an_order_that_is_taken_late_is_found", Sabotage::NeverFinds, Kind::Once),
    ("absence_that_was_proved_holds_against_an_order_on_its_way", Sabotage::HastyAbsence, Kind::Once),
    ("a_probe_that_may_resend_and_one_that_may_not_find_the_same", Sabotage::NeverFinds, Kind::Once),
    ("probing_twice_says_the_same", Sabotage::ProbeSends, Kind::Once),
    ("a_probe_that_cannot_ask_learns_nothing", Sabotage::NeverFinds, Kind::Once),
    ("an_order_that_was_not_looked_at_left_nothing", Sabotage::Retries, Kind::Window),
    ("a_cancel_whose_answer_was_lost_can_be_made_again", Sabotage::CancelsOnce, Kind::Once),
    ("after_a_restart_an_order_whose_answer_was_lost_is_found", Sabotage::NeverFinds, Kind::Once),
    ("after_a_restart_an_order_lost_on_its_way_may_be_sent_again", Sabotage::ProbeSends, Kind::Once),
    ("after_a_restart_an_order_lost_on_its_way_is_absent_for_ever", Sabotage::HastyAbsence, Kind::Once),
    ("after_a_restart_an_order_on_its_way_is_found_or_absent_for_ever", Sabotage::HastyAbsence, Kind::Once),
    ("trades_on_the_stream_and_in_the_snapshot_are_the_same", Sabotage::OtherNames, Kind::Once),
    ("an_order_that_rests_and_is_canceled_is_told_on_the_stream", Sabotage::LazyCancel, Kind::Once),
    ("a_trade_that_is_told_twice_is_one", Sabotage::NoTrades, Kind::Once),
    ("a_trade_that_is_told_late_is_the_one_of_the_snapshot", Sabotage::NoTrades, Kind::Once),
    ("a_trade_that_the_stream_never_tells_is_in_the_snapshot", Sabotage::NoTradesListed, Kind::Once),
    ("a_stream_that_breaks_says_so_and_nothing_is_missed", Sabotage::EndlessStream, Kind::Once),
    ("a_stream_ends_when_nobody_listens", Sabotage::EndlessStream, Kind::Once),
    ("someone_elses_orders_are_told_and_are_not_ours", Sabotage::HidesForeign, Kind::Once),
    ("positions_and_balances_in_the_snapshot_are_the_venues_own", Sabotage::NoPositions, Kind::Once),
    ("fees_are_exact_and_add_up_to_what_the_balance_lost", Sabotage::HalfTheTrades, Kind::Once),
    ("a_round_trip_changes_the_balance_by_what_was_traded_and_paid", Sabotage::HalfTheTrades, Kind::Once),
    ("purchases_and_fees_add_up_to_what_the_balances_changed_by", Sabotage::HalfTheTrades, Kind::Spot),
    ("a_snapshot_since_an_instant_has_every_trade_from_then_on", Sabotage::HalfTheTrades, Kind::Once),
    ("a_fresh_account_has_its_deposits_and_nothing_else", Sabotage::NoBalances, Kind::Once),
    ("a_stranger_may_not_trade_and_is_told_so", Sabotage::WrongKind, Kind::Once),
    ("good_credentials_are_found_good", Sabotage::Gloomy, Kind::Once),
    ("bad_credentials_are_found_bad", Sabotage::Blind, Kind::Once),
    ("examining_neither_trades_nor_cancels", Sabotage::Tidy, Kind::Once),
    ("findings_and_errors_tell_no_secret", Sabotage::Chatty, Kind::Once),
];
