//! Leverage belongs to the account and the coin: it is set before an entry, while the coin is flat.

use std::time::Duration;

use omnivenue_core::model::order::OrderRequest;
use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};
use omnivenue_kit::clock::Monotonic;
use omnivenue_kit::permits::Use;

use crate::account::HyperliquidAccount;
use crate::action::Action;
use crate::convert;
use crate::memory::Leverage;
use crate::rest::Purpose;

/// How long what was seen is relied on: someone may change it elsewhere.
const SEEN_FOR: Duration = Duration::from_secs(600);

/// Makes sure that the account has the request's leverage for its coin: at once where that is known, else by asking, else by setting it.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`], refused for good, where the leverage is not whole, or another one holds a position; those of the questions and
/// of `updateLeverage`.
pub(crate) async fn ensure(account: &HyperliquidAccount, request: &OrderRequest) -> Result<(), VenueError> {
    let wrong = |words: String| account.error(Operation::Ready, ErrorKind::InvalidRequest, Effect::Refused, words);
    let wanted = convert::whole_leverage(request.leverage).map_err(|error| wrong(error.to_string()))?;
    let remembered = account.memory().leverage(&request.symbol).filter(|seen| Monotonic::now().since(seen.at) < SEEN_FOR);
    if remembered.is_some_and(|seen| seen.value == wanted) {
        return Ok(());
    }
    let listing = account.listing(&request.symbol, Operation::Ready)?;
    let purpose = Purpose { operation: Operation::Ready, usage: Use::Entry };
    let (client, user, coin) = (account.client(), account.user(), request.symbol.as_str());
    let (state, active) = tokio::try_join!(client.clearinghouse(user, purpose), client.active_asset(user, coin, purpose))?;
    let seen = active.leverage;
    let is_cross = seen.kind == "cross" && !listing.only_isolated;
    let found = |value| Some(Leverage { value, is_cross, at: Monotonic::now() });
    if seen.value == wanted {
        account.memory().set_leverage(&request.symbol, found(wanted));
        return Ok(());
    }
    if state.asset_positions.iter().any(|held| held.position.coin == coin) {
        let words =
            format!("the position in {coin} has leverage {}, the order asks for {wanted}; it is changed only while flat", seen.value);
        return Err(wrong(words).with_code("leverage_conflict"));
    }
    account.memory().set_leverage(&request.symbol, None);
    client.permit(1, purpose).await?;
    let action = Action::UpdateLeverage { asset: listing.asset, is_cross, leverage: wanted };
    account.send_signed(&action.to_json(), &account.terms(), Operation::Ready).await?;
    account.memory().set_leverage(&request.symbol, found(wanted));
    Ok(())
}
