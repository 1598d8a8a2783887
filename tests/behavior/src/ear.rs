//! Listening to an account's stream.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::order::OrderReport;
use omnivenue_core::venue::{Account, Sink, VenueError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::case::{Failed, Verdict, expect};
use crate::clock;
use crate::stage::{PATIENCE, Stage};

/// Someone who listens to an account's stream. Dropping it closes the connection.
pub struct Ear {
    reports: mpsc::Receiver<OrderReport>,
    stream: tokio::task::JoinHandle<Result<(), VenueError>>,
    heard: Vec<OrderReport>,
}

impl Ear {
    /// Opens the stream. That it is open is seen by an order that someone else places and cancels: streams say nothing on their own.
    pub(crate) async fn open(account: Arc<dyn Account>, stage: &Stage) -> Verdict<Self> {
        let (sink, reports) = Sink::bounded(256);
        let stream = tokio::spawn(async move { account.stream(sink).await });
        let mut ear = Self { reports, stream, heard: Vec::new() };
        let deadline = clock::now().after(2 * PATIENCE);
        while ear.heard.is_empty() {
            expect(clock::now() < deadline, || "that the stream opens and tells of an order".into())?;
            let knock = stage.foreign.entry(stage.id(), stage.resting().await?).await.map_err(|why| Failed::Expected(why.reason))?;
            stage.account().place(&knock).await?;
            stage.account().cancel(&stage.instrument.symbol, knock.client_order_id()).await?;
            ear.hear_for(Duration::from_millis(150)).await;
        }
        // What the knocking still brings is heard before anything else happens.
        ear.hear_for(Duration::from_millis(150)).await;
        ear.heard.clear();
        Ok(ear)
    }

    /// Takes in what comes for as long as it keeps coming.
    pub async fn hear_for(&mut self, pause: Duration) {
        while let Ok(Some(report)) = timeout(pause, self.reports.recv()).await {
            self.heard.push(report);
        }
    }

    /// Takes in reports until something holds of those heard so far.
    ///
    /// # Errors
    /// When the stream ends, or it does not hold in time.
    pub async fn hear_until(&mut self, what: &str, patience: Duration, mut holds: impl FnMut(&[OrderReport]) -> bool) -> Verdict {
        let listen = async {
            while !holds(&self.heard) {
                match self.reports.recv().await {
                    Some(report) => self.heard.push(report),
                    None => return false,
                }
            }
            true
        };
        let heard = timeout(patience, listen).await;
        expect(heard == Ok(true), || format!("that the stream tells {what} in {patience:?}; it told {:?}", self.heard))
    }

    /// What was heard since it opened.
    #[must_use]
    pub fn heard(&self) -> &[OrderReport] {
        &self.heard
    }

    /// Stops listening, and waits for the stream to end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn hang_up(mut self) -> Verdict<Result<(), VenueError>> {
        self.reports.close();
        self.ended().await
    }

    /// Waits for the stream to end by itself.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> Verdict<Result<(), VenueError>> {
        match timeout(2 * PATIENCE, &mut self.stream).await {
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(panic)) => Err(Failed::Expected(format!("that the stream ends, but {panic}"))),
            Err(_) => Err(Failed::Expected("that the stream ends".into())),
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stream.abort();
    }
}
