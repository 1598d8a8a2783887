//! Questions may be asked again, a bounded number of times.

use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind};
use omnivenue_kit::http::{HttpConfig, HttpError, ReadClient, Reply, Request, RetryConfig};

use crate::server::{Act, Server, answer, ok};

async fn ask(script: impl IntoIterator<Item = Act>) -> (Result<Reply, HttpError>, usize) {
    let server = Server::new(script);
    let config = HttpConfig { timeout: Duration::from_millis(250), ..HttpConfig::default() };
    let retry = RetryConfig { attempts: 3, backoff: Duration::from_millis(5), backoff_max: Duration::from_millis(1_500) };
    let client = ReadClient::with_retry(&config, retry).unwrap();
    let result = client.send(Request::post_json(server.url("/info"), "{}")).await;
    drop(client);
    server.quiet().await;
    (result, server.count("/info"))
}

fn status(code: u16) -> Act {
    Act::Answer(answer(code, "", "no"))
}

#[tokio::test]
async fn until_there_is_an_answer() {
    for first in [Act::Reset, Act::Close, Act::Silence, status(502), status(503), status(504)] {
        let (result, count) = ask([first.clone(), first.clone(), Act::Answer(ok())]).await;
        assert_eq!((result.unwrap().status, count), (200, 3), "{first:?}");
    }
}

#[tokio::test]
async fn not_for_ever() {
    let (result, count) = ask([Act::Reset, Act::Reset, Act::Reset, Act::Reset]).await;
    assert_eq!((result.unwrap_err().kind, count), (ErrorKind::Connection, 3));
    let (result, count) = ask([status(503), status(503), status(503), status(503)]).await;
    assert_eq!((result.unwrap().status, count), (503, 3));
}

#[tokio::test]
async fn not_when_the_answer_is_one() {
    for code in [200, 307, 400, 404, 429, 500] {
        let (result, count) = ask([status(code)]).await;
        assert_eq!((result.unwrap().status, count), (code, 1));
    }
    let (result, count) = ask([Act::AnswerAndClose("nonsense\r\n\r\n".to_owned())]).await;
    assert_eq!((result.unwrap_err().kind, count), (ErrorKind::Unreadable, 1));
}

#[tokio::test]
async fn as_late_as_the_venue_asks_and_not_when_that_is_too_late() {
    let (result, count) = ask([Act::Answer(answer(503, "Retry-After: 60\r\n", ""))]).await;
    assert_eq!((result.unwrap().retry_after, count), (Some(Duration::from_secs(60)), 1));
    let (result, count) = ask([Act::Answer(answer(503, "Retry-After: 1\r\n", ""))]).await;
    assert_eq!((result.unwrap().status, count), (200, 2));
}

#[tokio::test]
async fn what_cannot_be_built_is_not_tried_again() {
    let client = ReadClient::new(&HttpConfig::default()).unwrap();
    let error = client.send(Request::get("nowhere")).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::NotSent, ErrorKind::InvalidRequest));
}
