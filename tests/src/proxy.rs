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
    /// How often connections were stranded; each strands those that are there.
    strandings: watch::Sender<u64>,
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
        let (strandings, strands) = watch::channel(0);
        Self {
            target,
            address,
            traffic,
            strandings,
            work: Some(tokio::spawn(hand_on(listener, target, changes, strands))),
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

    /// Lets the other ends of all connections vanish without a word, as those of a machine that is lost: the connections
    /// stay open for ever, and nothing comes through any more. New ones are made as before.
    pub fn strand(&self) {
        self.strandings.send_modify(|strandings| *strandings += 1);
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
        let (changes, strands) = (self.traffic.subscribe(), self.strandings.subscribe());
        self.work = Some(tokio::spawn(hand_on(listener, self.target, changes, strands)));
    }
}

async fn hand_on(
    listener: TcpListener,
    target: SocketAddr,
    traffic: watch::Receiver<Traffic>,
    strands: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let traffic = traffic.clone();
        let mut strands = strands.clone();
        strands.mark_unchanged();
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(target).await else {
                return;
            };
            // What is small must not wait for acknowledgements; a stream that cannot be told so still works.
            let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
            let is_stranded = {
                let (from_client, to_client) = client.split();
                let (from_server, to_server) = server.split();
                // However one direction ends, both ends are closed.
                tokio::select! {
                    _ = pump(from_client, to_server, traffic.clone()) => false,
                    _ = pump(from_server, to_client, traffic) => false,
                    () = stranded(&mut strands) => true,
                }
            };
            if is_stranded {
                drop(server);
                std::future::pending::<()>().await;
            }
        });
    }
}

/// Returns when the connection is stranded.
async fn stranded(strands: &mut watch::Receiver<u64>) {
    if strands.changed().await.is_err() {
        // There is nobody left who could do it.
        std::future::pending::<()>().await;
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
