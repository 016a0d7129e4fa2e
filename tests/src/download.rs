//! A client of HTTP that takes an answer only when the test does, and can tell a whole one from one that was cut off.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What the system may take from the server before the test does, in bytes: little, so that the server has to wait.
const RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;

/// An answer under way, of which the head is read.
#[derive(Debug)]
pub struct Download {
    stream: TcpStream,
    head: String,
    /// What came of the body so far, in chunks.
    begun: Vec<u8>,
}

/// What came until the server closed the connection.
#[derive(Debug)]
pub struct Downloaded {
    /// The content.
    pub content: Vec<u8>,
    /// Whether the server said that this is all.
    pub whole: bool,
}

impl Download {
    /// GETs `path` with these headers and reads the head of the answer.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn begin(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
            .expect("a socket");
        let mut stream = socket.connect(address).await.expect("the server accepts");
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the server reads");
        let mut begun = Vec::new();
        loop {
            let end = begun.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&begun[..end]).to_ascii_lowercase();
                begun.drain(..end + 4);
                return Self { stream, head, begun };
            }
            let taken = stream.read_buf(&mut begun).await.expect("an answer");
            assert!(taken > 0, "the server hung up");
        }
    }

    /// The status and the headers, in small letters.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Takes everything that still comes.
    ///
    /// # Panics
    /// If the answer is not in chunks.
    pub async fn rest(mut self) -> Downloaded {
        assert!(self.head.contains("transfer-encoding: chunked"), "{}", self.head);
        // However the connection ends, what came before has come.
        let _ = self.stream.read_to_end(&mut self.begun).await;
        let mut chunks = &self.begun[..];
        let mut content = Vec::new();
        while let Some((length, rest)) = chunk_length(chunks) {
            if length == 0 {
                return Downloaded {
                    content,
                    whole: rest == b"\r\n",
                };
            }
            content.extend_from_slice(&rest[..length.min(rest.len())]);
            chunks = rest.get(length + 2..).unwrap_or_default();
        }
        Downloaded {
            content,
            whole: false,
        }
    }
}

/// The length of the next chunk, and what stands behind it.
fn chunk_length(chunks: &[u8]) -> Option<(usize, &[u8])> {
    let end = chunks.windows(2).position(|bytes| bytes == b"\r\n")?;
    let digits = std::str::from_utf8(&chunks[..end]).ok()?;
    Some((usize::from_str_radix(digits, 16).ok()?, &chunks[end + 2..]))
}
