//! TLS: whom we trust, and what a failed handshake has sent.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind};
use omnivenue_kit::http::{HttpConfig, Request, WriteClient};
use omnivenue_kit::stream::{Session, SessionConfig, StreamError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Act, Server};
use crate::stream_server::Words;

/// The certificate of `localhost`, signed by an authority that nobody trusts unless told; both made for these tests.
fn acceptor() -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("../../fixtures/tls/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../fixtures/tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// Serves one connection: the text it read up to the end of a head, if the handshake went well.
async fn serve_one(listener: TcpListener) -> Option<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor().accept(stream).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok()?;
    stream.shutdown().await.ok()?;
    String::from_utf8(head).ok()
}

fn config() -> HttpConfig {
    HttpConfig { connect_timeout: Duration::from_millis(500), ..HttpConfig::default() }
}

#[tokio::test]
async fn a_venue_that_does_not_prove_itself_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(serve_one(listener));
    let client = WriteClient::new(&config()).unwrap();
    let error = client.send(Request::post_json(format!("https://localhost:{port}/order"), "{}")).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::NotSent, ErrorKind::Connection), "{error:?}");
    assert_eq!(server.await.unwrap(), None);
}

#[tokio::test]
async fn a_venue_that_speaks_no_tls_gets_nothing() {
    let server = Server::new([Act::AnswerAndClose("HTTP/1.1 400 Bad\r\n\r\n".to_owned())]);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = WriteClient::new(&config()).unwrap();
    for (port, kinds) in
        [(server.port, [ErrorKind::Connection, ErrorKind::Timeout]), (silent.local_addr().unwrap().port(), [ErrorKind::Timeout; 2])]
    {
        let error = client.send(Request::post_json(format!("https://127.0.0.1:{port}/order"), "{}")).await.unwrap_err();
        assert_eq!(error.effect, Effect::NotSent, "{error:?}");
        assert!(kinds.contains(&error.kind), "{error:?}");
    }
    assert_eq!(server.seen().len(), 0);
    let config =
        SessionConfig { connect_timeout: Duration::from_millis(300), ..SessionConfig::new(format!("wss://127.0.0.1:{}", server.port)) };
    let error = Session::connect(&config, Words, Vec::new()).await.unwrap_err();
    assert!(matches!(error, StreamError::Connect(_) | StreamError::Handshake { .. }), "{error:?}");
}

/// In the child the platform trusts the authority of the tests; the same test runs there. (Where the platform keeps its
/// roots in files; elsewhere they cannot be named so.)
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whom_the_platform_trusts_we_trust() {
    const CHILD: &str = "OMNIVENUE_KIT_TEST_TLS";
    if std::env::var(CHILD).is_err() {
        let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/authority.pem");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "tls::whom_the_platform_trusts_we_trust", "--nocapture"]);
        let output = child.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR").env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return;
    }
    let client = WriteClient::new(&config()).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve_one(listener));
        let reply = client.send(Request::post_json(format!("https://{host}:{port}/order"), "{}")).await.unwrap();
        assert_eq!((reply.status, &reply.body[..]), (200, &b"ok"[..]));
        assert!(server.await.unwrap().unwrap().starts_with("POST /order HTTP/1.1\r\n"));
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "the process keeps its own choice of provider");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor().accept(stream).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        crate::stream_server::say(&mut socket, "hello").await;
        crate::stream_server::until_closed(&mut socket).await;
    });
    let session = Session::connect(&SessionConfig::new(format!("wss://localhost:{port}/ws")), Words, Vec::new()).await.unwrap();
    while session.counters().other == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(session);
    server.await.unwrap();
}
