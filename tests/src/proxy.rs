//! A network that can be cut: connections to a port of its own are handed on to another one, until they are not.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Hands connections on to one address.
#[derive(Debug)]
pub struct Proxy {
    target: SocketAddr,
    address: SocketAddr,
    work: Option<JoinHandle<()>>,
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
        Self {
            target,
            address,
            work: Some(tokio::spawn(hand_on(listener, target))),
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

    /// Takes connections again, on the same port.
    ///
    /// # Panics
    /// If somebody else has taken the port.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the port is still free");
        self.work = Some(tokio::spawn(hand_on(listener, self.target)));
    }
}

async fn hand_on(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(target).await else {
                return;
            };
            // However it ends, both ends are closed.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
