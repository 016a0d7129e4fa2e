//! A network that can be cut, slowed down and stalled: connections to a port of its own are handed on to another one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Hands connections on to one address.
#[derive(Debug)]
pub struct Proxy {
    target: SocketAddr,
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    work: Option<JoinHandle<()>>,
}

/// How bytes get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    /// Each piece this late.
    Flowing(Duration),
    /// Not at all, and nobody is told.
    Stalled,
}

impl Proxy {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let (traffic, changes) = watch::channel(Traffic::Flowing(Duration::ZERO));
        Self {
            target,
            address,
            traffic,
            work: Some(tokio::spawn(hand_on(listener, target, changes))),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection; new ones are refused.
    pub async fn cut(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
            // The task ends as cancelled, and its connections with it.
            let _ = work.await;
        }
    }

    /// Hands every piece on this much later than it came.
    pub fn slow_down(&self, delay: Duration) {
        self.traffic.send_replace(Traffic::Flowing(delay));
    }

    /// Hands nothing on any more: connections stay open, new ones are made, and nothing comes through.
    pub fn stall(&self) {
        self.traffic.send_replace(Traffic::Stalled);
    }

    /// Ends what [`Proxy::cut`], [`Proxy::slow_down`] and [`Proxy::stall`] have done, on the same port.
    ///
    /// # Panics
    /// If somebody else has taken the port.
    pub async fn mend(&mut self) {
        self.traffic.send_replace(Traffic::Flowing(Duration::ZERO));
        if self.work.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the port is still free");
        let changes = self.traffic.subscribe();
        self.work = Some(tokio::spawn(hand_on(listener, self.target, changes)));
    }
}

async fn hand_on(listener: TcpListener, target: SocketAddr, traffic: watch::Receiver<Traffic>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let traffic = traffic.clone();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            // What is small must not wait for acknowledgements; a stream that cannot be told so still works.
            let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // However one direction ends, both ends are closed.
            let _ = tokio::select! {
                ended = pump(from_client, to_server, traffic.clone()) => ended,
                ended = pump(from_server, to_client, traffic) => ended,
            };
        });
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut traffic: watch::Receiver<Traffic>,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        loop {
            let now = *traffic.borrow_and_update();
            match now {
                Traffic::Flowing(delay) => {
                    tokio::time::sleep(delay).await;
                    break;
                }
                Traffic::Stalled => traffic.changed().await.map_err(io::Error::other)?,
            }
        }
        to.write_all(&piece[..length]).await?;
    }
}
