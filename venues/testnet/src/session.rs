//! One stream connection: frames in, frames out, closed when it was sent nothing for too long.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::host::{Host, Outgoing};
use crate::http::{Outcome, perform};
use crate::protocol::{Call, Connection};

/// The longest frame that is read.
const FRAME_MAX: usize = 4 << 20;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Runs a connection until either side closes it.
pub(crate) async fn run(host: Arc<Host>, peer: IpAddr, io: TokioIo<Upgraded>) {
    let config = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let Some((connection, mut outgoing)) = host.connect(peer) else {
        let _ = socket.close(None).await;
        return;
    };
    let idle = host.idle();
    loop {
        tokio::select! {
            sent = timeout(idle, outgoing.recv()) => match sent {
                Ok(Some(Outgoing::Text(text))) => {
                    if socket.send(Message::text(&*text)).await.is_err() {
                        break;
                    }
                }
                Ok(Some(Outgoing::Cut) | None) => break,
                Err(_) => {
                    close(&mut socket).await;
                    break;
                }
            },
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    if let Some((tag, call)) = host.message(connection, text.as_str()) {
                        tokio::spawn(request(host.clone(), connection, tag, call));
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    host.disconnect(connection);
}

/// A peer that does not answer the closing frame is not waited for.
async fn close(socket: &mut Socket) {
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
}

/// A request that came by stream, with whatever fault happens to it.
async fn request(host: Arc<Host>, connection: Connection, tag: Value, call: Call) {
    match perform(&host, call.clone()).await {
        Outcome::Answer(reply) => host.answer(connection, &tag, &call, &reply),
        Outcome::Cut => host.cut(connection),
    }
}
